// What every page can do with scripts. Each page works without them.

const writers = {
  full: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
};

/** Write each moment of UTC in the zone and the locale of the reader; the title keeps UTC. */
function writeMoments(root) {
  for (const each of root.querySelectorAll("time[data-moment]")) {
    const moment = new Date(each.dateTime);
    if (!Number.isNaN(moment.getTime()) && !each.title) {
      each.title = each.textContent;
      each.textContent = writers.full.format(moment);
    }
  }
}

/** Return true where a key belongs to what the person types in. */
function isTyping(target) {
  return target.closest?.("input:not([type=checkbox]), textarea, select") != null;
}

/** Return the first field of another form with words that are not sent: typed, or come back. */
function findUnsent(form) {
  const fields = document.querySelectorAll("form[method=post] :is(textarea, input:not([type]))");
  return [...fields].find((each) => {
    const isUnsent = each.value !== each.defaultValue || ("unsent" in each.form.dataset && each.value);
    return isUnsent && each.form !== form && each.checkVisibility();
  });
}

/** Leave a field, or close the list of choices of a filter, so that the keys of the page work. */
function leave(target) {
  const list = target.closest?.("details.choice[open]") ?? document.querySelector("details.choice[open]");
  if (list) {
    list.open = false;
    if (list.contains(target)) list.querySelector("summary").focus();
  } else if (isTyping(target)) {
    target.blur();
  }
}

/** Press the button, or go to the field, that a template gives to a key: data-key="a". A button
 * sends its form: while other words wait to be sent, the key shows them and sends nothing. */
function useKey(key) {
  let target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!target) return false;
  if (target.matches("button")) target = findUnsent(target.form) ?? target;
  if (target.matches("input, textarea, select, [data-key-focus]")) {
    target.focus();
    target.select?.();
  } else {
    target.click();
  }
  return true;
}

/** Go to the page of `g` and a second key, show the list of keys, use the keys of the page. */
function onKey(event) {
  const { keys, going } = document.body.dataset;
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) leave(event.target);
  if (keys === "off" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const list = document.getElementById("keys");
  if (document.querySelector("dialog[open]")) return;
  delete document.body.dataset.going;
  if (going) {
    const link = document.querySelector(`a[data-keys="g ${CSS.escape(event.key)}"]`);
    if (!link) return;
    window.location.assign(link.href);
  } else if (event.key === "g") {
    document.body.dataset.going = "true";
  } else if (event.key === "?" && list) {
    list.showModal();
  } else if (event.key.length !== 1 || !useKey(event.key)) {
    return;
  }
  event.preventDefault();
}

const AGAIN = 2000; // milliseconds after which a form may be sent once more

/** Send a form once, however often its button is pressed while the answer is on its way. */
function sendOnce(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "true";
  setTimeout(() => delete form.dataset.sent, AGAIN);
}

document.addEventListener("keydown", onKey);
document.addEventListener("submit", sendOnce);
document.addEventListener("htmx:after:swap", () => writeMoments(document));
writeMoments(document);
