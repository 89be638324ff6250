// A choice that a person made, kept by the browser if it stores anything for this page.

const storage = allowedStorage();

/** @returns {Storage | null} */
function allowedStorage() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

/** @param {string} name @returns {string | null} */
export const remembered = (name) => storage?.getItem(`tickrec.${name}`) ?? null;

/** @param {string} name @param {string} choice */
export const remember = (name, choice) => storage?.setItem(`tickrec.${name}`, choice);
