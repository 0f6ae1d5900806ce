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
