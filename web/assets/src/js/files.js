// A chosen file goes into the text field, where it can be seen and changed. Without scripts, text can be pasted.

const MOST_BYTES = 1 << 20;

export function startFiles() {
  for (const place of document.querySelectorAll("[data-file-into]")) {
    place.hidden = false;
    const input = place.querySelector("input[type=file]");
    const text = document.getElementById(place.dataset.fileInto);
    input.addEventListener("change", async () => {
      const file = input.files[0];
      if (!file) return;
      input.setCustomValidity(file.size > MOST_BYTES ? "The file is longer than 1 MiB. Import it in parts." : "");
      if (input.reportValidity()) text.value = await file.text();
    });
  }
}
