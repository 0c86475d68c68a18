// The print button of the page with the login data. Without scripts the button
// is not there, and the PDF is.
for (const b of document.querySelectorAll('[data-print]')) {
  b.hidden = false;
  b.addEventListener('click', () => window.print());
}
