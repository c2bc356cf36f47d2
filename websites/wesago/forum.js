// The site at wesago-website.<domain> belongs to the forum at wesago.<domain>: the links follow the domain that the page came from.
(() => {
  const forum = location.host.replace(/^([^.]+)-website\./, "$1.");
  if (forum === location.host) return;
  for (const link of document.querySelectorAll("a[data-forum]")) link.href = `${location.protocol}//${forum}/`;
})();
