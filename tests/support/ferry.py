"""Memories of an imagined project, a booking service of a ferry line, and questions that each have one answer among them.

Neighbours share words on purpose, and notes of the week repeat how several of them begin, so that a ranking that is a
little worse shows.
"""

from __future__ import annotations

MEMORIES = {
    "double": (
        "Two passengers got the same cabin. The booking service read the cabin's state before it "
        "locked the row, so two requests saw it free. Fixed by SELECT ... FOR UPDATE in "
        "cabins/reserve.py."
    ),
    "overbooked": (
        "Car decks were overbooked on Fridays: trailers count as two lanes, and lane_units() "
        "returned one for them."
    ),
    "timeout": (
        "Payment calls timed out after 30 s while the acquirer took 45. We raised "
        "PAYMENT_TIMEOUT_S to 60 and made the charge idempotent with the order number as key."
    ),
    "refund": (
        "Refunds of cancelled sailings go out as one batch at 3 a.m.; the acquirer rejects more "
        "than 500 in a file."
    ),
    "currency": (
        "Prices are integers in the smallest unit of their currency. Norwegian crowns were shown "
        "a hundred times too high because formatPrice() divided by 1 for NOK."
    ),
    "rounding": (
        "Children pay 50 %, rounded half to even as the accountants want it; Python's round() "
        "does that, JavaScript's does not."
    ),
    "migrate": (
        "Migration 0042 adds sailing_id to tickets. It took nine minutes on the copy of "
        "production, so it is now done in batches of 10,000 rows with a pause."
    ),
    "index": (
        "The list of departures took 2.3 s. An index on (harbour_id, departs_at) made it 12 ms; "
        "the old one began with the vessel."
    ),
    "vacuum": (
        "Autovacuum never finished on the table seat_locks, which is emptied each minute. We set "
        "its scale factor to zero and a fixed threshold."
    ),
    "pool": (
        "The pool of database connections ran empty whenever the timetable was imported, for each "
        "worker of the import kept one for its whole run. Now they take one per sailing."
    ),
    "timezone": (
        "Departures on the night of the clock change were shown an hour late. Times are stored in "
        "UTC now and turned into the harbour's zone only when they are shown."
    ),
    "ical": (
        "The calendar export put line ends of Unix into .ics files; Outlook refuses them, RFC "
        "5545 wants CR LF."
    ),
    "qr": (
        "QR codes of tickets were too dense for the scanners at the gate: the payload is a short "
        "signed token now instead of JSON."
    ),
    "scanner": (
        "Gate scanners lose the network under deck. They keep signed manifests for 48 hours and "
        "send their scans later; the server takes them by scan id, so twice is once."
    ),
    "manifest": (
        "The manifest of passengers must reach the coast guard an hour before departure. The job "
        "ran by cron on one host and was lost with it; it is in the queue with a lease now."
    ),
    "queue": (
        "Jobs of the queue were run twice after a deploy, because a worker was killed before it "
        "acknowledged. Handlers are idempotent now and look at the job's key first."
    ),
    "deadletter": (
        "Mails that failed five times sat in the dead letter queue for weeks; there is an alert "
        "when it holds more than 20."
    ),
    "mail": (
        "Confirmation mails landed in spam since the domain had no DKIM record. Added selector ferry2026."
    ),
    "template": (
        "Mail templates are Jinja2 with autoescape on; the name O'Brien came out as O&#39;Brien "
        "in plain text, which has its own environment without escaping."
    ),
    "login": (
        "Harbour staff were logged out every ten minutes: the session cookie had the lifetime of "
        "the access token. Refresh tokens live for twelve hours, a shift."
    ),
    "oauth": (
        "We chose OAuth with Keycloak over our own passwords: the company's directory is there "
        "already and auditors know it."
    ),
    "csrf": (
        "The kiosk's POST was refused as a forgery after the reverse proxy rewrote the Host "
        "header. Trusted origins are configured now."
    ),
    "ratelimit": (
        "A travel agency's script asked for prices 300 times a second. Token bucket per API key, "
        "20 a second with bursts of 60."
    ),
    "cache": (
        "The price cache was keyed without the customer group, so the islanders' discount showed "
        "up for tourists. The group is in the key since release 4.7.1."
    ),
    "cdn": (
        "Pictures of vessels are served from the CDN with a year's lifetime and a hash in the "
        "name; HTML is never cached."
    ),
    "typescript": (
        "The kiosk moved from Flow to TypeScript in strict mode. 214 errors, eleven of them real."
    ),
    "react": (
        "The seat map re-rendered all 1,400 seats at each hover. React.memo and a stable onSelect "
        "brought it from 180 ms to 6."
    ),
    "a11y": (
        "Screen readers could not tell free seats from taken ones, for only the colour said so. "
        "Each seat has an aria-label now."
    ),
    "dark": (
        "Dark mode follows the system and can be fixed in the settings; contrast of disabled "
        "buttons was below 3:1."
    ),
    "ci": (
        "The pipeline took 40 minutes, 25 of them the end-to-end tests. They run in four shards "
        "now; flaky ones go to quarantine with an owner and a date."
    ),
    "flaky": (
        "test_departure_board was flaky because it compared with the wall clock. It gets a frozen clock."
    ),
    "docker": (
        "The image was 1.9 GB since it carried the compiler. A second stage copies the wheels; 210 MB remain."
    ),
    "helm": (
        "helm upgrade failed with an immutable selector after the labels were renamed. The "
        "Deployment has to be deleted with --cascade=orphan once."
    ),
    "memory": (
        "The API was killed for memory at noon: the report of the day loaded all bookings into "
        "one list. It streams rows now."
    ),
    "gc": (
        "Long pauses of the pricing engine were full garbage collections; the fare table is "
        "frozen with gc.freeze() after loading."
    ),
    "deadlock": (
        "Deadlock between cancel_booking and change_cabin: they locked booking and cabin in "
        "opposite orders. Always the booking first."
    ),
    "backup": (
        "Backups are taken by pgBackRest every night and tried each Sunday on a scratch host; the "
        "first trial failed since the WAL archive was on the same disk."
    ),
    "disk": (
        "The disk of the log host filled up as debug logging stayed on after the incident in "
        "March. Level is reset at each start."
    ),
    "logs": (
        "Card numbers appeared in logs of the payment adapter. A filter masks digits, and a test "
        "feeds it real formats."
    ),
    "gdpr": (
        "A passenger who asks to be forgotten: names and documents go at once, bookings stay "
        "without them for ten years for the tax office."
    ),
    "weather": (
        "Sailings are cancelled by the captain in the app; the forecast of the weather service "
        "only colours them yellow above 8 Beaufort."
    ),
    "tide": (
        "Harbour Skelvik is shallow: the planner must not place the Aurora there two hours around low tide."
    ),
    "vessel": (
        "The Aurora has 310 cabins and 1,400 seats, the Borealis 96 cabins and no seats; both "
        "have two car decks."
    ),
    "loyalty": (
        "Points expire after 24 months without a trip. We count from the day of travel, not of booking."
    ),
    "feature": (
        "Feature flags live in the table flags and are read every 15 s; nobody may nest them, by "
        "decision of the team in May."
    ),
    "search": "Search for harbours ignores accents and finds by the start of a word: malo finds Måløy.",
    "webhook": (
        "Webhooks to travel agencies are signed by HMAC-SHA256 over timestamp and body; older "
        "than five minutes is refused."
    ),
    "pdf": (
        "Tickets as PDF came without Greek letters: the font lacked them. Noto Sans is embedded as a subset."
    ),
    "load": (
        "Load test before summer: 1,200 bookings a minute at 40 % CPU, then seat_locks became the bottleneck."
    ),
    "oncall": "On call changes on Tuesdays at 10. Whoever is paged at night has the morning off.",
}

QUESTIONS = (
    ("why did two people get the same cabin?", "double"),
    ("cabins/reserve.py", "double"),
    ("too many cars on the deck on Fridays", "overbooked"),
    ("lane_units", "overbooked"),
    ("what timeout do payments have", "timeout"),
    ("PAYMENT_TIMEOUT_S", "timeout"),
    ("when are refunds sent for cancelled sailings", "refund"),
    ("prices in Norwegian crowns were wrong", "currency"),
    ("how do we round the price for children", "rounding"),
    ("how long did migration 0042 take", "migrate"),
    ("departures list was slow", "index"),
    ("autovacuum seat_locks", "vacuum"),
    ("ran out of database connections during the timetable import", "pool"),
    ("departure shown an hour late", "timezone"),
    ("Outlook refuses the calendar file", "ical"),
    ("why is the QR payload a token", "qr"),
    ("scanners without network", "scanner"),
    ("who gets the passenger manifest before departure", "manifest"),
    ("job executed twice after deploy", "queue"),
    ("alert on dead letters", "deadletter"),
    ("DKIM", "mail"),
    ("apostrophe escaped in plain text mails", "template"),
    ("staff were logged out all the time", "login"),
    ("why Keycloak?", "oauth"),
    ("forgery error at the kiosk behind the proxy", "csrf"),
    ("how many requests may an API key send", "ratelimit"),
    ("islanders' discount shown to tourists", "cache"),
    ("release 4.7.1", "cache"),
    ("are html pages cached by the CDN", "cdn"),
    ("strict mode typescript errors", "typescript"),
    ("hovering the seat map is slow", "react"),
    ("aria labels for seats", "a11y"),
    ("contrast of buttons in dark mode", "dark"),
    ("quarantine for flaky tests", "ci"),
    ("departure board test", "flaky"),
    ("shrinking the docker image", "docker"),
    ("immutable selector", "helm"),
    ("api killed out of memory by the daily report", "memory"),
    ("gc.freeze", "gc"),
    ("lock order of booking and cabin", "deadlock"),
    ("restoring a backup failed", "backup"),
    ("debug logging filled the disk", "disk"),
    ("card numbers in the logs", "logs"),
    ("a passenger wants to be forgotten", "gdpr"),
    ("who cancels a sailing in bad weather", "weather"),
    ("low tide at Skelvik", "tide"),
    ("how many cabins does the Borealis have", "vessel"),
    ("when do loyalty points expire", "loyalty"),
    ("nesting of feature flags", "feature"),
    ("finding Måløy without accents", "search"),
    ("webhook signature", "webhook"),
    ("greek letters missing in the pdf", "pdf"),
    ("bottleneck in the load test", "load"),
    ("when does on-call rotate", "oncall"),
    ("cabin shown free to two requests at once", "double"),
    ("what did we do about slow queries on departures", "index"),
    ("did the scanners send scans twice", "scanner"),
    ("emails of the confirmation end up as spam", "mail"),
    ("pauses of the pricing engine", "gc"),
    ("agencies call us too often", "ratelimit"),
    ("tests that depend on the clock", "flaky"),
    ("how are clock times stored", "timezone"),
    ("size of the container image", "docker"),
    ("batches for the ticket migration", "migrate"),
    ("flags read every 15 s", "feature"),
    ("how many seats on the Aurora", "vessel"),
    ("nightly payouts to customers are rejected by the acquirer", "refund"),
    ("accessible seat map", "a11y"),
    ("worker killed before acknowledging", "queue"),
    ("report that loads all bookings", "memory"),
)


def notes() -> dict[str, str]:
    """Memories that begin as several others do, by names of their own."""
    texts = list(MEMORIES.values())
    return {
        f"notes-{step}-{first}": "Notes of the week. " + " ".join(text[:70] for text in texts[first::step])
        for step in (7, 9)
        for first in range(step)
    }
