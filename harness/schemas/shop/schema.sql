-- shop: three tables of another shape. Tenants have text ids, rows have uuids, one column is named by a
-- reserved word, nothing cascades, and nothing marks, logs or tells.

CREATE SCHEMA shop;

CREATE TABLE shop.merchant (
    code text PRIMARY KEY,
    title text NOT NULL,
    since date
);

CREATE TABLE shop.purchase (
    id uuid PRIMARY KEY,
    merchant text NOT NULL REFERENCES shop.merchant (code),
    "order" integer NOT NULL,
    total numeric(12, 2),
    remark text,
    placed_at timestamptz NOT NULL,
    UNIQUE (merchant, "order")
);

CREATE TABLE shop.line (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    purchase uuid NOT NULL REFERENCES shop.purchase (id),
    article text NOT NULL,
    pieces smallint NOT NULL,
    photo bytea
);
CREATE INDEX line_purchase ON shop.line (purchase);
