for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue; // the button stays hidden; the command can be selected by hand
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
