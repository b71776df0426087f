// Small helpers for the document. Whatever a peer sent becomes a text node, never markup.

export const byId = (id) => document.getElementById(id);

/** Return a new element with properties and children; a string becomes a text node. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Change a text only if it differs, so that the browser has nothing to lay out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Remove the last children beyond a limit. */
export function limitChildren(node, limit) {
  while (node.childElementCount > limit) node.lastElementChild.remove();
}
