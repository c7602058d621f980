-- helpdesk: a SaaS database whose customers share every table, as they are met in the field.
--
-- A control plane with two kinds of id from one range (sites, apps), tables that know their tenant by a
-- column, tables that know it only through foreign keys, and one column of every kind of value that has
-- broken a backup somewhere. schema.toml beside this file says the same as data.

CREATE SCHEMA helpdesk;

CREATE TYPE helpdesk.priority AS ENUM ('low', 'normal', 'high', 'on fire');
CREATE DOMAIN helpdesk.email AS text CHECK (VALUE <> '');

-- Belongs to nobody: a lookup table.
CREATE TABLE helpdesk.countries (
    code text PRIMARY KEY,
    name text NOT NULL,
    dialling text
);

-- The control plane. Ids are handed out by the application; sites and apps draw from the same range.
CREATE TABLE helpdesk.tenants (
    id bigint PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

CREATE TABLE helpdesk.sites (
    id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    country text NOT NULL REFERENCES helpdesk.countries (code) ON DELETE CASCADE,
    title text NOT NULL,
    deleted_at timestamptz,
    UNIQUE (id, tenant_id)
);
CREATE INDEX sites_tenant ON helpdesk.sites (tenant_id);

CREATE TABLE helpdesk.apps (
    id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    site_id bigint NOT NULL,
    name text NOT NULL,
    secret bytea NOT NULL,
    deleted_at timestamptz,
    FOREIGN KEY (site_id, tenant_id) REFERENCES helpdesk.sites (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX apps_tenant ON helpdesk.apps (tenant_id);
CREATE INDEX apps_site ON helpdesk.apps (site_id);

-- People and projects point at each other: a cycle, checked at COMMIT.
CREATE TABLE helpdesk.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    email helpdesk.email NOT NULL,
    full_name text NOT NULL,
    nickname text,
    manager_id bigint,
    home_project_id bigint,
    token uuid NOT NULL,
    last_ip inet,
    born date,
    active boolean NOT NULL,
    UNIQUE (tenant_id, email),
    UNIQUE (id, tenant_id),
    CONSTRAINT accounts_manager FOREIGN KEY (manager_id, tenant_id)
        REFERENCES helpdesk.accounts (id, tenant_id)
);
CREATE INDEX accounts_manager ON helpdesk.accounts (manager_id);
CREATE INDEX accounts_home_project ON helpdesk.accounts (home_project_id);

CREATE TABLE helpdesk.projects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    title text NOT NULL,
    lead_id bigint,
    budget numeric(14, 2),
    runs daterange,
    UNIQUE (id, tenant_id),
    CONSTRAINT projects_lead FOREIGN KEY (lead_id, tenant_id)
        REFERENCES helpdesk.accounts (id, tenant_id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX projects_tenant ON helpdesk.projects (tenant_id);
CREATE INDEX projects_lead ON helpdesk.projects (lead_id);

ALTER TABLE helpdesk.accounts ADD CONSTRAINT accounts_home_project
    FOREIGN KEY (home_project_id, tenant_id)
    REFERENCES helpdesk.projects (id, tenant_id) DEFERRABLE INITIALLY DEFERRED;

-- The work itself. The key is (tenant, number); other tables refer to the id.
CREATE TABLE helpdesk.tickets (
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    number bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    project_id bigint NOT NULL,
    assignee_id bigint,
    subject text NOT NULL,
    subject_chars integer GENERATED ALWAYS AS (length(subject)) STORED,
    body text,
    priority helpdesk.priority NOT NULL,
    tags text[] CHECK (array_ndims(tags) = 1 AND array_lower(tags, 1) = 1),
    votes integer[] CHECK (array_ndims(votes) = 1 AND array_lower(votes, 1) = 1),
    details jsonb,
    effort interval CHECK (isfinite(effort)),
    hours int4range,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (tenant_id, number),
    FOREIGN KEY (project_id, tenant_id) REFERENCES helpdesk.projects (id, tenant_id),
    CONSTRAINT tickets_assignee FOREIGN KEY (assignee_id, tenant_id)
        REFERENCES helpdesk.accounts (id, tenant_id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX tickets_project ON helpdesk.tickets (project_id);
CREATE INDEX tickets_assignee ON helpdesk.tickets (assignee_id);

CREATE TABLE helpdesk.comments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id bigint NOT NULL REFERENCES helpdesk.tickets (id) ON DELETE CASCADE,
    body text NOT NULL,
    posted_at timestamptz NOT NULL
);
CREATE INDEX comments_ticket ON helpdesk.comments (ticket_id);

CREATE TABLE helpdesk.attachments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    comment_id bigint NOT NULL REFERENCES helpdesk.comments (id) ON DELETE CASCADE,
    file_name text NOT NULL,
    content bytea NOT NULL,
    note text
);
CREATE INDEX attachments_comment ON helpdesk.attachments (comment_id);

CREATE TABLE helpdesk.labels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    colour text,
    UNIQUE (tenant_id, name)
);

CREATE TABLE helpdesk.ticket_labels (
    ticket_id bigint NOT NULL REFERENCES helpdesk.tickets (id) ON DELETE CASCADE,
    label_id bigint NOT NULL REFERENCES helpdesk.labels (id) ON DELETE CASCADE,
    reason text,
    PRIMARY KEY (ticket_id, label_id)
);
CREATE INDEX ticket_labels_label ON helpdesk.ticket_labels (label_id);

CREATE TABLE helpdesk.invoices (
    id serial PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    reference text NOT NULL,
    country text NOT NULL REFERENCES helpdesk.countries (code) ON DELETE CASCADE,
    amount numeric NOT NULL,
    rate numeric(20, 8),
    issued date NOT NULL,
    paid_at timestamp,
    memo text,
    UNIQUE (tenant_id, reference)
);

-- Spread over leaves by the entry, so that a changed entry moves its row to another leaf.
CREATE TABLE helpdesk.audit (
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    entry uuid NOT NULL,
    happened_at timestamptz NOT NULL,
    action text NOT NULL,
    detail jsonb,
    PRIMARY KEY (tenant_id, entry)
) PARTITION BY HASH (entry);
CREATE TABLE helpdesk.audit_0 PARTITION OF helpdesk.audit FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE helpdesk.audit_1 PARTITION OF helpdesk.audit FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE helpdesk.audit_2 PARTITION OF helpdesk.audit FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE helpdesk.audit_3 PARTITION OF helpdesk.audit FOR VALUES WITH (MODULUS 4, REMAINDER 3);

-- Every transaction adds the name of its operation: one witness of which writes are in a state.
CREATE TABLE helpdesk.ledger (
    tenant_id bigint NOT NULL REFERENCES helpdesk.tenants (id) ON DELETE CASCADE,
    op text NOT NULL,
    PRIMARY KEY (tenant_id, op)
);

-- Plumbing: what other systems are told of. Written by a trigger only, and never restored.
CREATE TABLE helpdesk.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event text NOT NULL,
    ticket_id bigint NOT NULL
);
CREATE INDEX outbox_xid ON helpdesk.outbox (xid);

CREATE FUNCTION helpdesk.tell_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO helpdesk.outbox (event, ticket_id)
    VALUES ('ticket ' || lower(TG_OP), CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END);
    RETURN NULL;
END
$$;
CREATE TRIGGER tickets_outbox AFTER INSERT OR UPDATE OR DELETE ON helpdesk.tickets
    FOR EACH ROW EXECUTE FUNCTION helpdesk.tell_outbox();

-- The maintenance function of 2022: takes ids of sites and of apps alike and asks no question. A site
-- takes its whole tenant with it; an app only itself. Returns how many ids meant anything.
CREATE FUNCTION helpdesk.delete_entity(ids bigint[], mode text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    one bigint;
    owner bigint;
    met integer := 0;
BEGIN
    IF mode NOT IN ('mark', 'permanent') THEN
        RAISE EXCEPTION 'mode % is neither mark nor permanent', mode;
    END IF;
    FOREACH one IN ARRAY ids LOOP
        SELECT tenant_id INTO owner FROM helpdesk.sites WHERE id = one;
        IF FOUND AND mode = 'mark' THEN
            UPDATE helpdesk.sites SET deleted_at = now() WHERE id = one;
        ELSIF FOUND THEN
            DELETE FROM helpdesk.tickets WHERE tenant_id = owner;
            DELETE FROM helpdesk.audit WHERE tenant_id = owner;
            DELETE FROM helpdesk.invoices WHERE tenant_id = owner;
            DELETE FROM helpdesk.labels WHERE tenant_id = owner;
            DELETE FROM helpdesk.projects WHERE tenant_id = owner;
            DELETE FROM helpdesk.accounts WHERE tenant_id = owner;
            DELETE FROM helpdesk.ledger WHERE tenant_id = owner;
            DELETE FROM helpdesk.sites WHERE tenant_id = owner;
        ELSIF mode = 'mark' THEN
            UPDATE helpdesk.apps SET deleted_at = now() WHERE id = one;
        ELSE
            DELETE FROM helpdesk.apps WHERE id = one;
        END IF;
        IF FOUND THEN
            met := met + 1;
        END IF;
    END LOOP;
    RETURN met;
END
$$;
