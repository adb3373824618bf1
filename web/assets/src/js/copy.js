// Buttons that copy what they point at.

export function startCopying() {
  reveal();
  document.addEventListener("page:changed", reveal);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2_000);
    } catch {
      getSelection().selectAllChildren(source); // no permission: select it for Ctrl-C
    }
  });
}

function reveal() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}
