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
  return target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
}

let isGoing = false;

/** Go to the page of `g` and a second key, and show the list of keys. */
function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) {
    return;
  }
  const keys = document.getElementById("keys");
  if (isGoing) {
    isGoing = false;
    const link = document.querySelector(`a[data-keys="g ${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      window.location.assign(link.href);
    }
  } else if (event.key === "g") {
    isGoing = true;
  } else if (event.key === "?" && keys && !keys.open) {
    event.preventDefault();
    keys.showModal();
  }
}

document.addEventListener("keydown", onKey);
document.addEventListener("htmx:after:swap", () => writeMoments(document));
writeMoments(document);
