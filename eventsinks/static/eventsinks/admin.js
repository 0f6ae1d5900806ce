// The few things that the admin's own pages do in the browser. No page holds a script: the content policy forbids it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Without HTTPS there is no clipboard: select it, for the person to copy.
    getSelection().selectAllChildren(source);
  }
});

// A masked secret is replaced as a whole: typing behind the mask would spoil it.
document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-select-on-focus]")) event.target.select();
});

// What is shown once is the answer to a POST: reloading must not send it again.
document.addEventListener("DOMContentLoaded", () => {
  const shown = document.querySelector("[data-address]");
  if (shown) history.replaceState(null, "", shown.dataset.address);
});

// A preview is made by the server of what stands in the form now, and shown below its button.
async function preview(button) {
  const shown = button.nextElementSibling;
  shown.textContent = "…";
  try {
    const answer = await fetch(button.dataset.preview, { method: "POST", body: new FormData(button.form) });
    if (!answer.ok) throw new Error(answer.statusText);
    shown.innerHTML = await answer.text(); // of our own templates, which escape
  } catch {
    shown.textContent = "The preview could not be made. Reload the page and try again.";
  }
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-preview]");
  if (button) preview(button);
});
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-preview-now]").forEach(preview));
