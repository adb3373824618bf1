-- Up to where a partition may be shown while something of it is missing in the warehouse: whoever begins to show pages
-- meanwhile reads it here. No row: everything visible is shown.

CREATE TABLE held (
    part        INTEGER PRIMARY KEY,
    next_off    INTEGER NOT NULL,          -- nothing from this offset on is shown
    at          INTEGER NOT NULL           -- when what is shown became visible, ms
);
