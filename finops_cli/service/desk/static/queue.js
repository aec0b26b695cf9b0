// The queue with scripts: rows come while the list is scrolled, and a window of them stays in the page.

const MOST_ROWS = 500;
const NEAR = 600; // pixels from an end of the list at which the next rows are asked for
const REST = 80; // milliseconds that a dragged scroll bar rests before rows are asked for
const BEFORE = 20; // rows before those that can be seen, after a jump

const QUERY = new URLSearchParams(window.location.search);
const IS_AFTER_ACTION = QUERY.has("said"); // the page that follows an accept or an assignment
QUERY.delete("said");
const PLACE = `place ${window.location.pathname}?${QUERY}`;

const box = document.getElementById("queue-box");
const body = document.getElementById("rows");
const selection = document.getElementById("selection");

/** Rows of the list that are not in the page, above and below, as spacers of their height. */
class RowWindow {
  constructor() {
    this.table = document.getElementById("queue");
    this.total = Number(this.table.dataset.total);
    this.pages = [{ count: body.rows.length, ...body.dataset }];
    this.isBusy = false;
    this.above = this.addSpacer("beforebegin");
    this.below = this.addSpacer("afterend");
    document.querySelector("nav.pages")?.classList.add("with-scripts");
    this.resize();
    this.showPlace();
    box.addEventListener("scroll", () => this.look(), { passive: true });
  }

  addSpacer(where) {
    const part = document.createElement("tbody");
    part.setAttribute("aria-hidden", "true");
    const row = part.insertRow();
    row.className = "spacer";
    row.insertCell().colSpan = this.table.tHead.rows[0].cells.length;
    body.insertAdjacentElement(where, part);
    return row;
  }

  get rows() {
    return body.rows;
  }

  /** The address of the rows before the first, or after the last, of those in the page. */
  get previous() {
    return this.pages[0].previous;
  }

  get next() {
    return this.pages[this.pages.length - 1].next;
  }

  placeOf(row) {
    return Number(row.getAttribute("aria-rowindex")) - 1;
  }

  /** Give the spacers the height of the rows that they stand for. */
  resize() {
    if (!this.rows.length) return;
    this.height = body.getBoundingClientRect().height / this.rows.length;
    const first = this.placeOf(this.rows[0]);
    const last = this.placeOf(this.rows[this.rows.length - 1]);
    this.setHeight(this.above, (first - 1) * this.height);
    this.setHeight(this.below, Math.max(0, this.total - last) * this.height);
  }

  setHeight(spacer, height) {
    // a table row of a great height is cut by browsers; 100,000 rows are below that
    spacer.cells[0].height = String(Math.round(height));
    spacer.hidden = height < 1;
  }

  /** Say which rows can be seen. */
  showPlace() {
    const shown = document.getElementById("shown");
    if (!shown || !this.rows.length) return;
    const head = this.table.tHead.offsetHeight;
    const top = box.scrollTop + head;
    const end = box.scrollTop + box.clientHeight;
    let first = 0;
    let last = 0;
    for (const row of this.rows) {
      if (row.offsetTop + row.offsetHeight > top && first === 0) first = this.placeOf(row);
      if (row.offsetTop < end) last = this.placeOf(row);
    }
    const words = [first || last, last, this.total].map((each) => each.toLocaleString());
    shown.textContent = `${words[0]} to ${words[1]} of ${words[2]}`;
  }

  /** Return true where no row of the page is near what can be seen. */
  get isFar() {
    const top = body.offsetTop;
    const { scrollTop, clientHeight } = box;
    return scrollTop > top + body.offsetHeight + NEAR || scrollTop + clientHeight < top - NEAR;
  }

  async look() {
    this.showPlace();
    if (this.isBusy) return;
    if (this.isFar) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.jump(), REST);
      return;
    }
    const top = body.offsetTop;
    const end = top + body.offsetHeight;
    if (this.next && box.scrollTop + box.clientHeight > end - NEAR) {
      await this.load("next");
    } else if (this.previous && box.scrollTop < top + NEAR) {
      await (box.scrollTop === 0 ? this.loadAt(0) : this.load("previous"));
    }
  }

  /** Load the rows where the scroll bar was dragged to. */
  async jump() {
    if (this.isBusy || !this.isFar) return;
    await this.loadAt(Math.max(0, Math.floor(box.scrollTop / this.height) - BEFORE));
  }

  /** Ask for rows; a session that has ended, or an error, loads the whole page again. */
  async ask(link) {
    const answer = await fetch(link, { headers: { "Finops-Rows": "true", Accept: "text/html" } });
    if (!answer.ok || answer.redirected) {
      window.location.reload();
      return null;
    }
    const page = document.createElement("template");
    page.innerHTML = await answer.text();
    const rows = [...page.content.querySelectorAll("tr")];
    return { rows, part: { count: rows.length, ...page.content.querySelector("template").dataset } };
  }

  /** Show the rows after the first `skipped` ones, whatever lies between. */
  async loadAt(skipped) {
    const link = new URL(body.dataset.top, window.location.href);
    if (skipped) link.searchParams.set("at", skipped);
    this.isBusy = true;
    const found = await this.ask(link);
    this.isBusy = false;
    if (found === null) return;
    const place = box.scrollTop;
    if (selection) for (const row of this.rows) keepSelected(row);
    body.replaceChildren(...found.rows);
    this.pages = [found.part];
    if (selection) restoreSelected(found.rows);
    this.resize();
    box.scrollTop = place;
    this.look();
  }

  async load(side) {
    this.isBusy = true;
    const found = await this.ask(this[side]);
    this.isBusy = false;
    if (found === null) return;
    if (side === "next") {
      body.append(...found.rows);
      this.pages.push(found.part);
    } else {
      body.prepend(...found.rows);
      this.pages.unshift(found.part);
    }
    if (selection) restoreSelected(found.rows);
    this.trim(side);
    this.resize();
    this.look();
  }

  /** Keep at most 500 rows: pages go at the other end. Selected rows stay known. */
  trim(side) {
    while (this.rows.length > MOST_ROWS && this.pages.length > 1) {
      const { count } = side === "next" ? this.pages.shift() : this.pages.pop();
      for (let left = count; left > 0; left -= 1) {
        const row = this.rows[side === "next" ? 0 : this.rows.length - 1];
        keepSelected(row);
        row.remove();
      }
    }
  }
}

/** A selected row that leaves the page stays in the form as a hidden field. */
function keepSelected(row) {
  const pick = row.querySelector("input[name=fail]");
  if (pick?.checked) {
    const kept = document.createElement("input");
    kept.type = "hidden";
    kept.name = "fail";
    kept.value = pick.value;
    selection.append(kept);
  }
}

/** A row that comes back is selected as it was. */
function restoreSelected(rows) {
  for (const row of rows) {
    const pick = row.querySelector("input[name=fail]");
    const kept = pick && selection.querySelector(`input[type=hidden][value="${CSS.escape(pick.value)}"]`);
    if (kept) {
      pick.checked = true;
      kept.remove();
    }
  }
}

let left = null; // the row from which the keyboard went to the form of the selected fails

function currentRow() {
  return document.activeElement?.closest?.("#rows tr") ?? null;
}

function focusRow(row) {
  row?.querySelector("a.open")?.focus();
  row?.scrollIntoView({ block: "nearest" });
}

/** Keep the place in this tab, for Back and for a reload. */
function keepPlace() {
  const row = currentRow() ?? left;
  const place = { top: box.scrollTop, row: row?.id ?? "", index: row?.getAttribute("aria-rowindex") };
  window.sessionStorage.setItem(PLACE, JSON.stringify(place));
}

/** Go to the place that was left, and where its row is gone, to the one that took its place; whoever
 * opens the queue anew begins with the most urgent fail. */
async function returnToPlace(rows) {
  const { type } = performance.getEntriesByType("navigation")[0] ?? {};
  const kept = window.sessionStorage.getItem(PLACE);
  if (kept === null || (type !== "back_forward" && type !== "reload" && !IS_AFTER_ACTION)) return;
  const { top, row, index } = JSON.parse(kept);
  box.scrollTop = top;
  await rows.jump();
  if (!row) return;
  const next = () => body.querySelector(`tr[aria-rowindex="${CSS.escape(index)}"]`);
  const found = document.getElementById(row) ?? next() ?? body.rows[body.rows.length - 1];
  found?.querySelector("a.open").focus({ preventScroll: true });
}

function countSelected() {
  const count = new FormData(selection).getAll("fail").length;
  document.getElementById("selected").textContent =
    count === 0 ? "Select fails, then:" : `${count.toLocaleString()} selected:`;
  return count;
}

function move(step) {
  const rows = [...body.rows];
  const here = rows.indexOf(currentRow());
  focusRow(rows[here === -1 ? 0 : Math.max(0, Math.min(rows.length - 1, here + step))]);
}

function isTyping(target) {
  return target.closest?.("input:not([type=checkbox]), textarea, select") != null;
}

/** The keys that work on the current row; those of every page are in desk.js. */
function onKey(event) {
  const isOff = document.body.dataset.keys === "off";
  if (isOff || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]") || document.body.dataset.going) return;
  const row = currentRow();
  if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (event.key === "Enter" && event.target.matches("#rows input")) {
    row.querySelector("a.open").click(); // without this, Enter sends the form of the selected fails
  } else if (event.key === "x" && row && selection) {
    row.querySelector("input[name=fail]").click();
  } else if ((event.key === "o" || event.key === "c") && row) {
    window.location.assign(`${row.querySelector("a.open").href}#${event.key === "o" ? "override" : "comment"}`);
  } else if ((event.key === "a" || event.key === "s") && row && selection) {
    if (countSelected() === 0) row.querySelector("input[name=fail]").click();
    left = row;
    return; // desk.js presses the button, or goes to the field
  } else {
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
}

if (box && body) {
  const rows = new RowWindow();
  window.addEventListener("resize", () => rows.resize());
  window.addEventListener("pagehide", keepPlace);
  document.addEventListener("keydown", onKey, { capture: true });
  if (selection) {
    document.addEventListener("change", (event) => {
      if (event.target.name === "fail") countSelected();
    });
    countSelected();
  }
  returnToPlace(rows);
}
