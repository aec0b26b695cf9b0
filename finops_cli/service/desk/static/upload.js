// Sends a chosen file as it is, with its progress. Without this module the form does the same.
const form = document.querySelector("form[data-upload]");

function complain(text) {
  const banner = document.createElement("p");
  banner.className = "banner bad";
  banner.setAttribute("role", "alert");
  banner.textContent = text;
  document.getElementById("upload-problem").replaceChildren(banner);
}

function send(file) {
  const bar = document.getElementById("upload-progress");
  const said = document.getElementById("upload-said");
  const button = form.querySelector("button");
  const request = new XMLHttpRequest();
  const end = (text) => {
    bar.hidden = true;
    button.disabled = false;
    said.textContent = "";
    complain(text);
  };
  request.open("POST", `/v1/files?name=${encodeURIComponent(file.name)}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.upload.addEventListener("progress", (event) => {
    const share = event.lengthComputable ? Math.floor((100 * event.loaded) / event.total) : 0;
    bar.value = share;
    said.textContent = share < 100 ? `${share} % sent` : form.dataset.sent;
  });
  request.addEventListener("load", () => {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // an answer that is not ours, such as that of a proxy
    }
    if (request.status === 201 && answer.id) {
      window.location.assign(`/upload/${answer.id}`);
    } else {
      end(answer.detail ?? `The service answered ${request.status}. Try it again.`);
    }
  });
  request.addEventListener("error", () => end("The connection ended. Is the service running?"));
  button.disabled = true;
  bar.hidden = false;
  request.send(file);
}

form?.addEventListener("submit", (event) => {
  const file = form.querySelector("input[type=file]").files[0];
  if (!file) return;
  event.preventDefault();
  document.getElementById("upload-problem").replaceChildren();
  if (file.size > Number(form.dataset.limit)) {
    complain(`${file.name} is larger than ${form.dataset.limitWords}. Split the file.`);
    return;
  }
  send(file);
});
