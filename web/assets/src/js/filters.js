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
}
