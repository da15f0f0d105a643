/** Times, numbers and names as people read them, in the browser's own language and time zone. */

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const INSTANT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const MONEY = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD" });
const SMALL_MONEY = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", maximumSignificantDigits: 2 });

/** @param {number} epoch milliseconds */
export const clock = (epoch) => TIME.format(epoch);
/** @param {number} epoch milliseconds; to the second */
export const instant = (epoch) => INSTANT.format(epoch);
/** @param {number} epoch milliseconds */
export const moment = (epoch) => MOMENT.format(epoch);
export const number = (value) => NUMBER.format(value);
export const short = (value) => SHORT.format(value);

/** Dollars; small sums keep two digits that say something. */
export function money(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 && value < 0.1 ? SMALL_MONEY.format(value) : MONEY.format(value);
}

/** A moment as the server's logs have it. */
export const utc = (epoch) => `${new Date(epoch).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** The day of a moment, in words. */
export function day(epoch) {
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  const that = dayKey(epoch);
  if (that === dayKey(today)) return "Today";
  if (that === dayKey(yesterday)) return "Yesterday";
  return DAY.format(epoch);
}

/** The local day of a moment, as text that sorts as days do. */
export function dayKey(epoch) {
  const date = new Date(epoch);
  const two = (value) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** A moment; of today, its time alone. @param {number} epoch milliseconds */
export const recent = (epoch) => (dayKey(epoch) === dayKey(Date.now()) ? clock(epoch) : moment(epoch));

/** How long something took, roughly. */
export function duration(milliseconds) {
  const minutes = Math.round(milliseconds / 60_000);
  if (minutes < 1) return "under a minute";
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** `1 memory`, `2 memories`. */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** A text's beginning, where all of it would be too much; no sign is cut in two. */
export function beginning(text, most = 80) {
  const signs = Array.from(text.slice(0, 2 * most));
  return signs.length > most || text.length > 2 * most ? `${signs.slice(0, most - 1).join("")}…` : text;
}

/** A code such as `security_alert`, as words. */
export function words(code) {
  const text = String(code).replaceAll(/[_-]+/g, " ").trim();
  return text ? text[0].toUpperCase() + text.slice(1) : "Other";
}
