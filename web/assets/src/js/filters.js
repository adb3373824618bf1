// The explorer's filters go into the address without empty parameters.

export function startFilters() {
  const form = document.getElementById("filters");
  if (!form) return;
  form.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    for (const [name, value] of [...body.entries()]) if (value === "") body.delete(name);
    const filtered = [...body.keys()].some((name) => name !== "mode");
    document.getElementById("filters-clear").hidden = !filtered;
  });
  form.addEventListener("htmx:before:request", (event) => {
    event.detail.ctx.askedAt = location.href;
  });
  // Somebody went back meanwhile: an answer for the view that was left would go into the history once more.
  form.addEventListener("htmx:before:response", (event) => {
    if (event.detail.ctx.askedAt !== location.href) event.preventDefault();
  });
  // Enter in a field is a change and a submit: both lead to one address, which goes into the history once.
  document.addEventListener("htmx:before:history:update", (event) => {
    const { path } = event.detail.history;
    if (new URL(path, location.href).href === location.href) event.preventDefault();
  });
}
