// Before anything is drawn: the theme that was chosen on an earlier visit.
try {
  const theme = localStorage.getItem("zoo-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // A browser may keep nothing for pages from files; the system's theme holds.
}
