CREATE SCHEMA private;
CREATE TABLE private.answers (
    id character varying(64) NOT NULL,
    customer character varying(40) NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    expires bigint NOT NULL
);
CREATE TABLE private.buyers (
    customer character varying(40) NOT NULL,
    body text NOT NULL,
    changed bigint NOT NULL
);
CREATE TABLE private.facts (
    name character varying(40) NOT NULL,
    value text NOT NULL
);
CREATE TABLE private.feedback (
    "position" bigint NOT NULL,
    event character varying(64) NOT NULL,
    customer character varying(40) NOT NULL,
    item integer,
    value text NOT NULL,
    "time" bigint NOT NULL
);
CREATE SEQUENCE private.feedback_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE private.feedback_position_seq OWNED BY private.feedback."position";
CREATE TABLE private.inputs (
    event character varying(64) NOT NULL,
    item integer NOT NULL,
    customer character varying(40) NOT NULL,
    payload text NOT NULL,
    output text NOT NULL,
    expires bigint NOT NULL
);
CREATE TABLE private.notes (
    event character varying(64) NOT NULL,
    customer character varying(40) NOT NULL,
    text text NOT NULL,
    "time" bigint NOT NULL
);
CREATE TABLE public.audit (
    "position" bigint NOT NULL,
    "time" bigint NOT NULL,
    actor character varying(120) NOT NULL,
    action character varying(60) NOT NULL,
    subject character varying(200) NOT NULL,
    detail text NOT NULL,
    hash character varying(64) NOT NULL
);
CREATE SEQUENCE public.audit_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_position_seq OWNED BY public.audit."position";
CREATE TABLE public.balances (
    customer character varying(40) NOT NULL,
    period character varying(7) NOT NULL,
    meter character varying(60) NOT NULL,
    used numeric(38,0) NOT NULL,
    reserved numeric(38,0) NOT NULL
);
CREATE TABLE public.closed_periods (
    customer character varying(40) NOT NULL,
    period character varying(7) NOT NULL,
    "time" bigint NOT NULL,
    reference character varying(200) NOT NULL
);
CREATE TABLE public.customers (
    id character varying(40) NOT NULL,
    name text NOT NULL,
    created bigint NOT NULL,
    terms text NOT NULL,
    erased bigint
);
CREATE TABLE public.erasures (
    "position" bigint NOT NULL,
    "time" bigint NOT NULL,
    customer character varying(40) NOT NULL,
    event character varying(64) NOT NULL
);
CREATE SEQUENCE public.erasures_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.erasures_position_seq OWNED BY public.erasures."position";
CREATE TABLE public.events (
    "position" bigint NOT NULL,
    writer character varying(64) NOT NULL,
    seq bigint NOT NULL,
    id character varying(64) NOT NULL,
    source character varying(200) NOT NULL,
    kind character varying(12) NOT NULL,
    about character varying(64) NOT NULL,
    "time" bigint NOT NULL,
    customer character varying(40) NOT NULL,
    key character varying(16) NOT NULL,
    release character varying(120) NOT NULL,
    plan character varying(64) NOT NULL,
    quantities text NOT NULL,
    answers bigint NOT NULL,
    request character varying(64) NOT NULL,
    hash character varying(64) NOT NULL,
    counted bigint
);
CREATE SEQUENCE public.events_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_position_seq OWNED BY public.events."position";
CREATE TABLE public.facts (
    name character varying(40) NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.idempotency (
    id character varying(64) NOT NULL,
    customer character varying(40) NOT NULL,
    event character varying(64) NOT NULL,
    request character varying(64) NOT NULL,
    "time" bigint NOT NULL
);
CREATE TABLE public.invoice_series (
    series character varying(12) NOT NULL,
    year integer NOT NULL,
    last integer NOT NULL
);
CREATE TABLE public.invoices (
    number character varying(40) NOT NULL,
    series character varying(12) NOT NULL,
    year integer NOT NULL,
    sequence integer NOT NULL,
    kind character varying(12) NOT NULL,
    customer character varying(40) NOT NULL,
    period character varying(7) NOT NULL,
    about character varying(40) NOT NULL,
    slot character varying(160) NOT NULL,
    document text NOT NULL,
    hash character varying(64) NOT NULL,
    created bigint NOT NULL
);
CREATE TABLE public.keys (
    id character varying(16) NOT NULL,
    customer character varying(40) NOT NULL,
    name text NOT NULL,
    salt character varying(32) NOT NULL,
    hash character varying(64) NOT NULL,
    last4 character varying(4) NOT NULL,
    scopes text NOT NULL,
    created bigint NOT NULL,
    not_before bigint,
    expires bigint,
    revoked bigint,
    replaces character varying(16)
);
CREATE TABLE public.plans (
    version character varying(64) NOT NULL,
    body text NOT NULL,
    created bigint NOT NULL
);
CREATE TABLE public.totals (
    customer character varying(40) NOT NULL,
    hour bigint NOT NULL,
    key character varying(16) NOT NULL,
    release character varying(120) NOT NULL,
    plan character varying(64) NOT NULL,
    meter character varying(60) NOT NULL,
    quantity bigint NOT NULL,
    events bigint NOT NULL
);
ALTER TABLE ONLY private.feedback ALTER COLUMN "position" SET DEFAULT nextval('private.feedback_position_seq'::regclass);
ALTER TABLE ONLY public.audit ALTER COLUMN "position" SET DEFAULT nextval('public.audit_position_seq'::regclass);
ALTER TABLE ONLY public.erasures ALTER COLUMN "position" SET DEFAULT nextval('public.erasures_position_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN "position" SET DEFAULT nextval('public.events_position_seq'::regclass);
INSERT INTO private.answers VALUES ('b3b9a492cea757a440367031fa55e3bbef1eb8ecfb86a73e762984db635b6513', 'cus_2e771ed549a7bd6b', 200, '\x74686520616e73776572206f66204dc3bc6c6c6572', 4000000000000000);
INSERT INTO private.facts VALUES ('schema', '3');
INSERT INTO private.feedback VALUES (1, 'e03', 'cus_2e771ed549a7bd6b', NULL, '{"comment": "Herr Müller disagrees", "correct": false}', 1795375003194814);
INSERT INTO public.audit VALUES (1, 1795375003041432, 'local', 'customer.add', 'cus_2e771ed549a7bd6b', '{"name": "Müller & Co"}', 'e42c544248e03043414eb5a5b71a74c0dc9cdf2736da241af0a259746fb092a6');
INSERT INTO public.audit VALUES (2, 1795375003074945, 'local', 'customer.add', 'cus_b2fdbb39c4270e4a', '{"name": "Other customer"}', '41cc8458673747cbd3b21b944592e2a9fb985b0f79998d71f05cc9acb54ac13c');
INSERT INTO public.audit VALUES (3, 1795375003095864, 'local', 'key.create', '0MCMCjdD', '{"customer": "cus_2e771ed549a7bd6b", "scopes": "feedback predict usage"}', '0b9d4d78944d08617a9f9c774a8c432b9032b46fd5a981c878a69bf60c929348');
INSERT INTO public.audit VALUES (4, 1795375003106634, 'local', 'key.create', '9BXTseiB', '{"customer": "cus_b2fdbb39c4270e4a", "scopes": "feedback predict usage"}', 'c9cc6b25b08bac3325e7a78f512e3ac97182c01aa5d8431e17e4941a2c5fe629');
INSERT INTO public.audit VALUES (5, 1795375003135660, 'local', 'key.revoke', '9BXTseiB', '{"customer": "cus_b2fdbb39c4270e4a"}', 'fe326d74dee95cd88751f0ed2be98e89e467f8c3038ba60e9aa17a70d4c1da19');
INSERT INTO public.audit VALUES (6, 1795375003200157, 'ledger', 'chain.anchor', 'vm-21617-ba96611a', '{"hash": "23f4785d1c481c7b6a3e9eeb84218d89942791ebe494fa3db97773be8d98dfa4", "seq": 13}', '3307ebc3c2b776e9be4459c42b8bee95dbc75016543deae39765e710cb00a800');
INSERT INTO public.customers VALUES ('cus_2e771ed549a7bd6b', 'Müller & Co', 1795375003033376, '{"quotas": {"answers": 1000}, "spend_cap": null, "requests_per_second": null, "burst": null}', NULL);
INSERT INTO public.customers VALUES ('cus_b2fdbb39c4270e4a', 'Other customer', 1795375003059106, '{"quotas": {}, "spend_cap": null, "requests_per_second": null, "burst": null}', NULL);
INSERT INTO public.events VALUES (1, 'vm-21617-ba96611a', 1, 'e00', 'breakeven', 'usage', '', 1790812800000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":1,"input_tokens":0}', 1, '', '94e41c6d15d5d35b274b868431e96505cfdd9e90acbdcb32e57c7da424ff8c53', NULL);
INSERT INTO public.events VALUES (2, 'vm-21617-ba96611a', 2, 'e01', 'breakeven', 'usage', '', 1790820000000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":2,"input_tokens":10}', 1, '', 'b7143f6ffd4c9354edf883aabd3ca6819f60683c272ac3dbb4cbe67519229056', NULL);
INSERT INTO public.events VALUES (3, 'vm-21617-ba96611a', 3, 'e02', 'breakeven', 'usage', '', 1790827200000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":3,"input_tokens":20}', 1, '', 'ae3e21b437e0b967b48cae4fe07bd13bb305c4b82c063abfc3421cd994ab3781', NULL);
INSERT INTO public.events VALUES (4, 'vm-21617-ba96611a', 4, 'e03', 'breakeven', 'usage', '', 1790834400000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":1,"input_tokens":30}', 1, '', '636635c6752e54c152044be5553f442aa33090e1ee1897b98f51f7705ffac76a', NULL);
INSERT INTO public.events VALUES (5, 'vm-21617-ba96611a', 5, 'e04', 'breakeven', 'usage', '', 1790841600000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":2,"input_tokens":40}', 1, '', '196cc9688d6ba31f333a8dd5cef2fa6dde5497ff735f7e2f98522fa9e237b48e', NULL);
INSERT INTO public.events VALUES (6, 'vm-21617-ba96611a', 6, 'e05', 'breakeven', 'usage', '', 1790848800000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":3,"input_tokens":50}', 1, '', '371fe975f1ccba2390187ca0ad9c5637835eabec4d88cb91095f10165b5ee970', NULL);
INSERT INTO public.events VALUES (7, 'vm-21617-ba96611a', 7, 'e06', 'breakeven', 'usage', '', 1790856000000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":1,"input_tokens":60}', 1, '', '72939da7ba131b89182b965b6281d0a2288e917d96dbf1930c0daeab082b4a9a', NULL);
INSERT INTO public.events VALUES (8, 'vm-21617-ba96611a', 8, 'e07', 'breakeven', 'usage', '', 1790863200000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":2,"input_tokens":70}', 1, '', '5d9ed42879e8ac043916ae86305c746c099565bdc875a92271f6e84a5d33c3eb', NULL);
INSERT INTO public.events VALUES (9, 'vm-21617-ba96611a', 9, 'e08', 'breakeven', 'usage', '', 1790870400000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":3,"input_tokens":80}', 1, '', 'f9dc249f8ab8e52a7e1e38fbffbb12cfe81a1fa3dcf5848ce0ae6073046e8b1d', NULL);
INSERT INTO public.events VALUES (10, 'vm-21617-ba96611a', 10, 'e09', 'breakeven', 'usage', '', 1790877600000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":1,"input_tokens":90}', 1, '', '4320c3c2d73f654e44df2ede134570b446bee712ae70fd9147c03d253b370e6d', NULL);
INSERT INTO public.events VALUES (11, 'vm-21617-ba96611a', 11, 'e10', 'breakeven', 'usage', '', 1790884800000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":2,"input_tokens":100}', 1, '', '3877d34e6cba7118f91b49f9fc35fc3fb48f6c4e9adfe2e16d9046127786904d', NULL);
INSERT INTO public.events VALUES (12, 'vm-21617-ba96611a', 12, 'e11', 'breakeven', 'usage', '', 1790892000000000, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":3,"input_tokens":110}', 1, '', '4c59b5000759c70c9343742047b1e0814abbd80863c4f990cbc54ccc4974878b', NULL);
INSERT INTO public.events VALUES (13, 'vm-21617-ba96611a', 13, 'kept', 'breakeven', 'usage', '', 1790812800000005, 'cus_2e771ed549a7bd6b', '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', '{"answers":1}', 1, '318b290b64682d4b67e687f7c6ea30d4', '23f4785d1c481c7b6a3e9eeb84218d89942791ebe494fa3db97773be8d98dfa4', NULL);
INSERT INTO public.facts VALUES ('ledger', 'e4551784f1b79626');
INSERT INTO public.facts VALUES ('salt', 'ab0b9fa28594c0c07d83fc16d38740c76cc5a25c1aaa9f30dff7f2b1d83298f4');
INSERT INTO public.facts VALUES ('schema', '3');
INSERT INTO public.idempotency VALUES ('b3b9a492cea757a440367031fa55e3bbef1eb8ecfb86a73e762984db635b6513', 'cus_2e771ed549a7bd6b', 'kept', '318b290b64682d4b67e687f7c6ea30d4', 1790812800000005);
INSERT INTO public.keys VALUES ('0MCMCjdD', 'cus_2e771ed549a7bd6b', 'laptop of Müller', '14fccde825b6d42268180ad321567580', '555caa2d631c78e581a417cff3f45ee7331ab997e1e084f210af332868071345', 'qYLf', 'feedback predict usage', 1795375003081401, NULL, NULL, NULL, NULL);
INSERT INTO public.keys VALUES ('9BXTseiB', 'cus_b2fdbb39c4270e4a', '', 'ae34da0d31660899fd91df991f096de5', 'a6544a69ebcde61e388ec78af4b7f4cdfd5e9b4c6a86ccfd6686057b63880cd9', 'QCmm', 'feedback predict usage', 1795375003101118, NULL, NULL, 1795375003130781, NULL);
INSERT INTO public.plans VALUES ('6b00fa4224b5d3c1', '{"version": "6b00fa4224b5d3c1", "currency": "EUR", "rates": {"answers": "0.004", "input_tokens": "0.00001"}}', 1795375003012726);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790812800000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 0, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790820000000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 2, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790820000000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 10, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790827200000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 3, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790827200000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 20, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790834400000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 1, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790834400000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 30, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790841600000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 2, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790841600000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 40, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790848800000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 3, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790848800000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 50, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790856000000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 1, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790856000000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 60, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790863200000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 2, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790863200000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 70, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790870400000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 3, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790870400000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 80, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790877600000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 1, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790877600000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 90, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790884800000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 2, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790884800000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 100, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790892000000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 3, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790892000000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'input_tokens', 110, 1);
INSERT INTO public.totals VALUES ('cus_2e771ed549a7bd6b', 1790812800000000, '0MCMCjdD', 'demo-1', '6b00fa4224b5d3c1', 'answers', 2, 2);
SELECT pg_catalog.setval('private.feedback_position_seq', 1, true);
SELECT pg_catalog.setval('public.audit_position_seq', 6, true);
SELECT pg_catalog.setval('public.erasures_position_seq', 1, false);
SELECT pg_catalog.setval('public.events_position_seq', 13, true);
ALTER TABLE ONLY private.answers
    ADD CONSTRAINT answers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY private.buyers
    ADD CONSTRAINT buyers_pkey PRIMARY KEY (customer);
ALTER TABLE ONLY private.facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY (name);
ALTER TABLE ONLY private.feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY private.inputs
    ADD CONSTRAINT inputs_pkey PRIMARY KEY (event, item);
ALTER TABLE ONLY private.notes
    ADD CONSTRAINT notes_pkey PRIMARY KEY (event);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.balances
    ADD CONSTRAINT balances_pkey PRIMARY KEY (customer, period, meter);
ALTER TABLE ONLY public.closed_periods
    ADD CONSTRAINT closed_periods_pkey PRIMARY KEY (customer, period);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_name_key UNIQUE (name);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_id_source UNIQUE (id, source);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.invoice_series
    ADD CONSTRAINT invoice_series_pkey PRIMARY KEY (series, year);
ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_no_double UNIQUE (series, year, sequence);
ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_slot UNIQUE (slot);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.totals
    ADD CONSTRAINT totals_pkey PRIMARY KEY (customer, hour, key, release, plan, meter);
CREATE INDEX ix_private_answers_customer ON private.answers USING btree (customer);
CREATE INDEX ix_private_answers_expires ON private.answers USING btree (expires);
CREATE INDEX ix_private_feedback_customer ON private.feedback USING btree (customer);
CREATE INDEX ix_private_inputs_customer ON private.inputs USING btree (customer);
CREATE INDEX ix_private_inputs_expires ON private.inputs USING btree (expires);
CREATE INDEX ix_private_notes_customer ON private.notes USING btree (customer);
CREATE INDEX events_about ON public.events USING btree (about) WHERE ((about)::text <> ''::text);
CREATE INDEX events_counted ON public.events USING btree (counted) WHERE (counted IS NOT NULL);
CREATE INDEX events_customer_time ON public.events USING btree (customer, "time");
CREATE INDEX ix_invoices_about ON public.invoices USING btree (about);
CREATE INDEX ix_invoices_customer ON public.invoices USING btree (customer);
CREATE INDEX ix_keys_customer ON public.keys USING btree (customer);
