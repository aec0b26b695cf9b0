// The keys of the page of one fail, and the buttons that copy a letter.

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

/** Do what a key stands for: press a button, open what is folded, or go to a field. */
function act(target) {
  if (target.tagName === "BUTTON") {
    target.click();
  } else if (target.tagName === "SUMMARY") {
    target.parentElement.open = true;
    target.parentElement.querySelector("select, textarea")?.focus();
  } else {
    target.focus();
  }
}

let before = "";

document.addEventListener("keydown", (event) => {
  const isSecond = before === "g"; // the second key of a way to another page
  before = isSecond ? "" : event.key;
  const isTyping = event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog[open]");
  if (isSecond || isTyping || event.defaultPrevented || event.repeat) {
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (target) {
    event.preventDefault();
    act(target);
  }
});
