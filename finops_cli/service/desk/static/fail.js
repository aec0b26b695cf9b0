// The buttons that copy a letter, and the form of an override.

/** Copy the text of a field; where the browser refuses it, select the text for the person. */
async function copy(button) {
  const field = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  } catch {
    field.focus();
    field.select();
    button.textContent = "Selected: copy it with the keyboard";
  }
  window.setTimeout(() => { button.textContent = label; }, 2500);
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

// the form of an override takes the keyboard when it opens: by its key, or by a link of the queue
const override = document.getElementById("override");
override?.addEventListener("toggle", () => {
  if (override.open) {
    (override.querySelector("[autofocus]") ?? override.querySelector("select, textarea"))?.focus();
  }
});

if (window.location.hash === "#override" && override) {
  override.open = true;
} else if (window.location.hash === "#comment") {
  document.getElementById("comment")?.focus();
}

// a form that came back with faults is the answer to a POST: Back would ask to send it again
if (window.location.pathname.endsWith("/decide")) {
  window.history.replaceState(null, "", window.location.pathname.replace(/\/decide$/, ""));
}
