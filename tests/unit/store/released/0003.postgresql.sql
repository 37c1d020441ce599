CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_tokens (
    name character varying NOT NULL,
    role character varying NOT NULL,
    token_sha256 character varying NOT NULL,
    created timestamp with time zone NOT NULL,
    expires timestamp with time zone,
    CONSTRAINT ck_api_tokens_role CHECK (((role)::text = ANY ((ARRAY['viewer'::character varying, 'operator'::character varying, 'admin'::character varying])::text[])))
);
CREATE TABLE public.appliances (
    id integer NOT NULL,
    name character varying NOT NULL,
    kernel character varying NOT NULL,
    image character varying NOT NULL,
    state character varying NOT NULL,
    requirements json NOT NULL,
    members bigint NOT NULL,
    clone boolean NOT NULL,
    root_mode character varying NOT NULL,
    sla json NOT NULL,
    deadline timestamp with time zone,
    parameters json NOT NULL,
    CONSTRAINT ck_appliances_sizes CHECK ((members >= 0)),
    CONSTRAINT ck_appliances_state CHECK (((state)::text = ANY ((ARRAY['stopped'::character varying, 'starting'::character varying, 'active'::character varying, 'stopping'::character varying, 'failed'::character varying])::text[])))
);
CREATE SEQUENCE public.appliances_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.appliances_id_seq OWNED BY public.appliances.id;
CREATE TABLE public.assignments (
    id integer NOT NULL,
    appliance character varying NOT NULL,
    member integer NOT NULL,
    resource character varying NOT NULL,
    image character varying NOT NULL,
    shared boolean NOT NULL,
    epoch bigint NOT NULL,
    plan integer NOT NULL,
    since timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.assignments_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.assignments_id_seq OWNED BY public.assignments.id;
CREATE TABLE public.audit (
    id integer NOT NULL,
    "time" timestamp with time zone NOT NULL,
    actor character varying NOT NULL,
    reason character varying NOT NULL,
    action character varying NOT NULL,
    kind character varying NOT NULL,
    name character varying NOT NULL,
    before json NOT NULL,
    after json NOT NULL
);
CREATE SEQUENCE public.audit_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_id_seq OWNED BY public.audit.id;
CREATE TABLE public.epochs (
    appliance character varying NOT NULL,
    member integer NOT NULL,
    epoch bigint NOT NULL
);
CREATE TABLE public.events (
    id integer NOT NULL,
    "time" timestamp with time zone NOT NULL,
    severity character varying NOT NULL,
    kind character varying NOT NULL,
    name character varying NOT NULL,
    message character varying NOT NULL,
    data json NOT NULL,
    CONSTRAINT ck_events_severity CHECK (((severity)::text = ANY ((ARRAY['info'::character varying, 'warning'::character varying, 'error'::character varying])::text[])))
);
CREATE SEQUENCE public.events_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.host_keys (
    subject character varying NOT NULL,
    public character varying NOT NULL,
    sealed character varying NOT NULL
);
CREATE TABLE public.identities (
    resource character varying NOT NULL,
    claim_sha256 character varying NOT NULL,
    assignment bigint NOT NULL,
    issued timestamp with time zone NOT NULL,
    used timestamp with time zone,
    previous_sha256 character varying,
    approved boolean NOT NULL,
    boot_expected boolean NOT NULL
);
CREATE TABLE public.images (
    id integer NOT NULL,
    name character varying NOT NULL,
    storage character varying NOT NULL,
    volume character varying NOT NULL,
    deployment character varying NOT NULL,
    kind character varying NOT NULL,
    shared boolean NOT NULL,
    parent character varying NOT NULL,
    parameters json NOT NULL,
    CONSTRAINT ck_images_kind CHECK (((kind)::text = ANY ((ARRAY['golden'::character varying, 'clone'::character varying, 'private'::character varying])::text[])))
);
CREATE SEQUENCE public.images_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.images_id_seq OWNED BY public.images.id;
CREATE TABLE public.kernels (
    id integer NOT NULL,
    name character varying NOT NULL,
    version character varying NOT NULL,
    arch character varying NOT NULL,
    vmlinuz character varying NOT NULL,
    initramfs character varying NOT NULL,
    modules character varying NOT NULL,
    sizes json NOT NULL,
    parameters json NOT NULL
);
CREATE SEQUENCE public.kernels_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.kernels_id_seq OWNED BY public.kernels.id;
CREATE TABLE public.nics (
    mac character varying NOT NULL,
    resource character varying NOT NULL,
    "position" integer NOT NULL,
    name character varying NOT NULL,
    role character varying NOT NULL,
    address character varying NOT NULL
);
CREATE TABLE public.operations (
    plan integer NOT NULL,
    seq integer NOT NULL,
    phase integer NOT NULL,
    host character varying NOT NULL,
    role character varying NOT NULL,
    verb character varying NOT NULL,
    variable character varying NOT NULL,
    items json NOT NULL,
    undo character varying NOT NULL,
    state character varying NOT NULL,
    message character varying NOT NULL,
    attempts integer NOT NULL,
    CONSTRAINT ck_operations_state CHECK (((state)::text = ANY ((ARRAY['pending'::character varying, 'done'::character varying, 'failed'::character varying, 'undone'::character varying])::text[])))
);
CREATE TABLE public.orders (
    id integer NOT NULL,
    resource character varying NOT NULL,
    "order" character varying NOT NULL,
    epoch bigint NOT NULL,
    manifest character varying NOT NULL,
    state character varying NOT NULL,
    message character varying NOT NULL,
    created timestamp with time zone NOT NULL,
    CONSTRAINT ck_orders_order CHECK ((("order")::text = ANY ((ARRAY['assign'::character varying, 'release'::character varying, 'reboot'::character varying, 'poweroff'::character varying])::text[]))),
    CONSTRAINT ck_orders_state CHECK (((state)::text = ANY ((ARRAY['pending'::character varying, 'accepted'::character varying, 'done'::character varying, 'failed'::character varying, 'superseded'::character varying])::text[])))
);
CREATE SEQUENCE public.orders_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.orders_id_seq OWNED BY public.orders.id;
CREATE TABLE public.plan_objects (
    plan integer NOT NULL,
    "position" integer NOT NULL,
    kind character varying NOT NULL,
    name character varying NOT NULL,
    data json NOT NULL
);
CREATE TABLE public.plans (
    id integer NOT NULL,
    verb character varying NOT NULL,
    state character varying NOT NULL,
    basis character varying NOT NULL,
    owner character varying NOT NULL,
    created timestamp with time zone NOT NULL,
    message character varying NOT NULL,
    CONSTRAINT ck_plans_state CHECK (((state)::text = ANY ((ARRAY['planned'::character varying, 'applying'::character varying, 'done'::character varying, 'failed'::character varying, 'undone'::character varying, 'cancelled'::character varying])::text[])))
);
CREATE SEQUENCE public.plans_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.plans_id_seq OWNED BY public.plans.id;
CREATE TABLE public.plugins (
    name character varying NOT NULL,
    fields json NOT NULL
);
CREATE TABLE public.resource_tags (
    resource character varying NOT NULL,
    tag character varying NOT NULL
);
CREATE TABLE public.resources (
    id integer NOT NULL,
    name character varying NOT NULL,
    state character varying NOT NULL,
    type character varying NOT NULL,
    arch character varying NOT NULL,
    cores bigint NOT NULL,
    memory_mib bigint NOT NULL,
    disk_mib bigint NOT NULL,
    nic_count bigint NOT NULL,
    address character varying NOT NULL,
    power_driver character varying NOT NULL,
    power json NOT NULL,
    firmware character varying NOT NULL,
    hardware json NOT NULL,
    monitored boolean NOT NULL,
    boot_id character varying NOT NULL,
    mode character varying NOT NULL,
    stage character varying NOT NULL,
    kernel character varying NOT NULL,
    manifest character varying NOT NULL,
    reported_epoch bigint NOT NULL,
    last_seen timestamp with time zone,
    deadline timestamp with time zone,
    parameters json NOT NULL,
    token_sha256 character varying,
    CONSTRAINT ck_resources_sizes CHECK (((cores >= 0) AND (memory_mib >= 0) AND (disk_mib >= 0) AND (nic_count >= 0))),
    CONSTRAINT ck_resources_state CHECK (((state)::text = ANY ((ARRAY['new'::character varying, 'idle'::character varying, 'reserved'::character varying, 'starting'::character varying, 'active'::character varying, 'stopping'::character varying, 'error'::character varying, 'off'::character varying, 'unknown'::character varying, 'quarantined'::character varying])::text[])))
);
CREATE SEQUENCE public.resources_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.resources_id_seq OWNED BY public.resources.id;
CREATE TABLE public.settings (
    key character varying NOT NULL,
    value json NOT NULL
);
CREATE TABLE public.storages (
    id integer NOT NULL,
    name character varying NOT NULL,
    type character varying NOT NULL,
    host character varying NOT NULL,
    location character varying NOT NULL,
    address character varying NOT NULL,
    parameters json NOT NULL
);
CREATE SEQUENCE public.storages_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.storages_id_seq OWNED BY public.storages.id;
CREATE TABLE public.volumes (
    id integer NOT NULL,
    name character varying NOT NULL,
    storage character varying NOT NULL,
    size_mib bigint NOT NULL,
    parent character varying NOT NULL,
    parameters json NOT NULL,
    CONSTRAINT ck_volumes_sizes CHECK ((size_mib >= 0))
);
CREATE SEQUENCE public.volumes_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.volumes_id_seq OWNED BY public.volumes.id;
ALTER TABLE ONLY public.appliances ALTER COLUMN id SET DEFAULT nextval('public.appliances_id_seq'::regclass);
ALTER TABLE ONLY public.assignments ALTER COLUMN id SET DEFAULT nextval('public.assignments_id_seq'::regclass);
ALTER TABLE ONLY public.audit ALTER COLUMN id SET DEFAULT nextval('public.audit_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.images ALTER COLUMN id SET DEFAULT nextval('public.images_id_seq'::regclass);
ALTER TABLE ONLY public.kernels ALTER COLUMN id SET DEFAULT nextval('public.kernels_id_seq'::regclass);
ALTER TABLE ONLY public.orders ALTER COLUMN id SET DEFAULT nextval('public.orders_id_seq'::regclass);
ALTER TABLE ONLY public.plans ALTER COLUMN id SET DEFAULT nextval('public.plans_id_seq'::regclass);
ALTER TABLE ONLY public.resources ALTER COLUMN id SET DEFAULT nextval('public.resources_id_seq'::regclass);
ALTER TABLE ONLY public.storages ALTER COLUMN id SET DEFAULT nextval('public.storages_id_seq'::regclass);
ALTER TABLE ONLY public.volumes ALTER COLUMN id SET DEFAULT nextval('public.volumes_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0003');
INSERT INTO public.api_tokens VALUES ('nightly', 'operator', 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', '2026-11-22 09:40:39.163613+00', NULL);
INSERT INTO public.appliances VALUES (1, 'web', 'debian12', 'golden', 'active', '{"cores": 2, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": ["gpu"], "anti_affinity": "", "resource": ""}', 1, true, 'read-write', '{"ha": true}', NULL, '{}');
INSERT INTO public.appliances VALUES (2, 'db', 'debian12', 'golden', 'stopped', '{"cores": 1, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": [], "anti_affinity": "", "resource": ""}', 2, false, 'read-write', '{}', NULL, '{}');
INSERT INTO public.assignments VALUES (2, 'web', 0, 'node2', 'web-0', false, 2, 1, '2026-11-22 09:40:39.056776+00');
INSERT INTO public.audit VALUES (1, '2026-11-22 09:40:38.479006+00', 'freeze', 'fill', 'add', 'resource', 'node1', '{}', '{"id": 1, "name": "node1", "state": "idle", "type": "physical", "arch": "x86_64", "cores": 1, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:01", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:01", "name": "eth1", "role": "storage", "address": "10.78.0.1/24"}], "tags": ["gpu", "rack:r1"], "address": "", "power_driver": "redfish", "power": {"system": "1"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO public.audit VALUES (2, '2026-11-22 09:40:38.479054+00', 'freeze', 'fill', 'add', 'resource', 'node2', '{}', '{"id": 2, "name": "node2", "state": "active", "type": "physical", "arch": "x86_64", "cores": 2, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:02", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:02", "name": "eth1", "role": "storage", "address": "10.78.0.2/24"}], "tags": ["gpu", "rack:r2"], "address": "", "power_driver": "redfish", "power": {"system": "2"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO public.audit VALUES (3, '2026-11-22 09:40:38.479091+00', 'freeze', 'fill', 'add', 'resource', 'node3', '{}', '{"id": 3, "name": "node3", "state": "off", "type": "physical", "arch": "x86_64", "cores": 3, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:03", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:03", "name": "eth1", "role": "storage", "address": "10.78.0.3/24"}], "tags": ["gpu", "rack:r3"], "address": "", "power_driver": "redfish", "power": {"system": "3"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO public.audit VALUES (4, '2026-11-22 09:40:38.479125+00', 'freeze', 'fill', 'add', 'resource', 'node4', '{}', '{"id": 4, "name": "node4", "state": "quarantined", "type": "physical", "arch": "x86_64", "cores": 4, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:04", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:04", "name": "eth1", "role": "storage", "address": "10.78.0.4/24"}], "tags": ["gpu", "rack:r4"], "address": "", "power_driver": "redfish", "power": {"system": "4"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO public.audit VALUES (5, '2026-11-22 09:40:38.532587+00', 'freeze', 'fill', 'add', 'kernel', 'debian12', '{}', '{"id": 1, "name": "debian12", "version": "6.1.0-13-cloud-amd64", "arch": "x86_64", "vmlinuz": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "initramfs": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "modules": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "sizes": {"vmlinuz": 8589934592}, "parameters": {}}');
INSERT INTO public.audit VALUES (6, '2026-11-22 09:40:38.585173+00', 'freeze', 'fill', 'add', 'storage', 'san1', '{}', '{"id": 1, "name": "san1", "type": "directory", "host": "san1.example", "location": "/srv/volumes", "address": "10.78.0.10", "parameters": {"quota": true}}');
INSERT INTO public.audit VALUES (7, '2026-11-22 09:40:38.636547+00', 'freeze', 'fill', 'add', 'volume', 'san1/golden', '{}', '{"id": 1, "name": "golden", "storage": "san1", "size_mib": 2048, "parent": "", "parameters": {}}');
INSERT INTO public.audit VALUES (8, '2026-11-22 09:40:38.63657+00', 'freeze', 'fill', 'add', 'volume', 'san1/web-0', '{}', '{"id": 2, "name": "web-0", "storage": "san1", "size_mib": 0, "parent": "golden", "parameters": {"pending": true}}');
INSERT INTO public.audit VALUES (9, '2026-11-22 09:40:38.673217+00', 'freeze', 'fill', 'add', 'image', 'golden', '{}', '{"id": 1, "name": "golden", "storage": "san1", "volume": "golden", "deployment": "nfs", "kind": "golden", "shared": false, "parent": "", "parameters": {}}');
INSERT INTO public.audit VALUES (10, '2026-11-22 09:40:38.673236+00', 'freeze', 'fill', 'add', 'image', 'web-0', '{}', '{"id": 2, "name": "web-0", "storage": "san1", "volume": "web-0", "deployment": "nfs", "kind": "clone", "shared": false, "parent": "golden", "parameters": {}}');
INSERT INTO public.audit VALUES (11, '2026-11-22 09:40:38.73067+00', 'freeze', 'fill', 'add', 'appliance', 'web', '{}', '{"id": 1, "name": "web", "kernel": "debian12", "image": "golden", "state": "active", "requirements": {"cores": 2, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": ["gpu"], "anti_affinity": "", "resource": ""}, "members": 1, "clone": true, "root_mode": "read-write", "sla": {"ha": true}, "deadline": null, "parameters": {}}');
INSERT INTO public.audit VALUES (12, '2026-11-22 09:40:38.730699+00', 'freeze', 'fill', 'add', 'appliance', 'db', '{}', '{"id": 2, "name": "db", "kernel": "debian12", "image": "golden", "state": "stopped", "requirements": {"cores": 1, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": [], "anti_affinity": "", "resource": ""}, "members": 2, "clone": false, "root_mode": "read-write", "sla": {}, "deadline": null, "parameters": {}}');
INSERT INTO public.audit VALUES (13, '2026-11-22 09:40:38.802765+00', 'freeze', 'fill', 'add', 'plan', '1', '{}', '{"verb": "start", "state": "done"}');
INSERT INTO public.audit VALUES (14, '2026-11-22 09:40:38.992356+00', 'freeze', 'fill', 'assign', 'appliance', 'web', '{}', '{"member": 0, "resource": "node2", "image": "web-0", "epoch": 1, "plan": 1}');
INSERT INTO public.audit VALUES (15, '2026-11-22 09:40:39.016451+00', 'freeze', 'fill', 'release', 'appliance', 'web', '{"member": 0, "resource": "node2", "image": "web-0", "epoch": 1, "plan": 1}', '{}');
INSERT INTO public.audit VALUES (16, '2026-11-22 09:40:39.091981+00', 'freeze', 'fill', 'assign', 'appliance', 'web', '{}', '{"member": 0, "resource": "node2", "image": "web-0", "epoch": 2, "plan": 1}');
INSERT INTO public.audit VALUES (17, '2026-11-22 09:40:39.152942+00', 'freeze', 'fill', 'register', 'resource', 'node2', '{}', '{"assignment": 2}');
INSERT INTO public.audit VALUES (18, '2026-11-22 09:40:39.181774+00', 'freeze', 'fill', 'create', 'token', 'nightly', '{}', '{"role": "operator"}');
INSERT INTO public.audit VALUES (19, '2026-11-22 09:40:39.198188+00', 'freeze', 'fill', 'create', 'host key', 'web/0', '{}', '{"public": "ssh-ed25519 AAAA"}');
INSERT INTO public.audit VALUES (20, '2026-11-22 09:40:39.266134+00', 'freeze', 'fill', 'order', 'resource', 'node2', '{}', '{"order": "assign", "epoch": 2, "id": 1}');
INSERT INTO public.audit VALUES (21, '2026-11-22 09:40:39.292648+00', 'freeze', 'fill', 'change', 'order', '1', '{"state": "pending"}', '{"state": "accepted"}');
INSERT INTO public.audit VALUES (22, '2026-11-22 09:40:39.3435+00', 'freeze', 'fill', 'set', 'setting', 'default_kernel', '{}', '{"value": "debian12"}');
INSERT INTO public.audit VALUES (23, '2026-11-22 09:40:39.377312+00', 'freeze', 'fill', 'set', 'setting', 'nothing', '{}', '{"value": null}');
INSERT INTO public.audit VALUES (24, '2026-11-22 09:40:39.401864+00', 'freeze', 'fill', 'set', 'setting', 'nested', '{}', '{"value": {"a": [1, null, "x"]}}');
INSERT INTO public.audit VALUES (25, '2026-11-22 09:40:39.434418+00', 'freeze', 'fill', 'set', 'plugin', 'hosts', '{}', '{"enabled": true}');
INSERT INTO public.audit VALUES (26, '2026-11-22 09:40:39.497091+00', 'freeze', 'fill', 'add', 'resource', 'gone', '{}', '{"id": 5, "name": "gone", "state": "new", "type": "physical", "arch": "x86_64", "cores": 0, "memory_mib": 0, "disk_mib": 0, "nics": [], "tags": [], "address": "", "power_driver": "", "power": {}, "firmware": "", "hardware": {}, "monitored": true, "boot_id": "", "mode": "", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": null, "deadline": null, "parameters": {}}');
INSERT INTO public.audit VALUES (27, '2026-11-22 09:40:39.642915+00', 'freeze', 'fill', 'remove', 'resource', 'gone', '{"id": 5, "name": "gone", "state": "new", "type": "physical", "arch": "x86_64", "cores": 0, "memory_mib": 0, "disk_mib": 0, "nics": [], "tags": [], "address": "", "power_driver": "", "power": {}, "firmware": "", "hardware": {}, "monitored": true, "boot_id": "", "mode": "", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": null, "deadline": null, "parameters": {}}', '{}');
INSERT INTO public.epochs VALUES ('web', 0, 2);
INSERT INTO public.events VALUES (1, '2026-11-22 09:40:39.292669+00', 'warning', 'resource', 'node2', 'Line one
line two', '{"problem": "test"}');
INSERT INTO public.host_keys VALUES ('web/0', 'ssh-ed25519 AAAA', 'sealed');
INSERT INTO public.identities VALUES ('node2', 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 2, '2026-01-02 03:04:05.678901+00', NULL, NULL, true, false);
INSERT INTO public.images VALUES (1, 'golden', 'san1', 'golden', 'nfs', 'golden', false, '', '{}');
INSERT INTO public.images VALUES (2, 'web-0', 'san1', 'web-0', 'nfs', 'clone', false, 'golden', '{}');
INSERT INTO public.kernels VALUES (1, 'debian12', '6.1.0-13-cloud-amd64', 'x86_64', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', '{"vmlinuz": 8589934592}', '{}');
INSERT INTO public.nics VALUES ('52:54:00:00:00:01', 'node1', 0, 'eth0', 'management', '');
INSERT INTO public.nics VALUES ('52:54:00:00:01:01', 'node1', 1, 'eth1', 'storage', '10.78.0.1/24');
INSERT INTO public.nics VALUES ('52:54:00:00:00:02', 'node2', 0, 'eth0', 'management', '');
INSERT INTO public.nics VALUES ('52:54:00:00:01:02', 'node2', 1, 'eth1', 'storage', '10.78.0.2/24');
INSERT INTO public.nics VALUES ('52:54:00:00:00:03', 'node3', 0, 'eth0', 'management', '');
INSERT INTO public.nics VALUES ('52:54:00:00:01:03', 'node3', 1, 'eth1', 'storage', '10.78.0.3/24');
INSERT INTO public.nics VALUES ('52:54:00:00:00:04', 'node4', 0, 'eth0', 'management', '');
INSERT INTO public.nics VALUES ('52:54:00:00:01:04', 'node4', 1, 'eth1', 'storage', '10.78.0.4/24');
INSERT INTO public.operations VALUES (1, 1, 1, 'san1', 'openqrm.datacenter.storage_directory', 'volume_clone', 'storage_volumes', '[{"name": "web-0", "source": "golden"}]', '', 'done', '', 0);
INSERT INTO public.orders VALUES (1, 'node2', 'assign', 2, 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'accepted', '', '2026-11-22 09:40:39.224126+00');
INSERT INTO public.plan_objects VALUES (1, 0, 'appliance', 'web', '{"kind": "appliance", "name": "web"}');
INSERT INTO public.plans VALUES (1, 'start', 'done', 'digest', '', '2026-11-22 09:40:38.742342+00', '');
INSERT INTO public.plugins VALUES ('hosts', '{"enabled": true}');
INSERT INTO public.resource_tags VALUES ('node1', 'gpu');
INSERT INTO public.resource_tags VALUES ('node1', 'rack:r1');
INSERT INTO public.resource_tags VALUES ('node2', 'gpu');
INSERT INTO public.resource_tags VALUES ('node2', 'rack:r2');
INSERT INTO public.resource_tags VALUES ('node3', 'gpu');
INSERT INTO public.resource_tags VALUES ('node3', 'rack:r3');
INSERT INTO public.resource_tags VALUES ('node4', 'gpu');
INSERT INTO public.resource_tags VALUES ('node4', 'rack:r4');
INSERT INTO public.resources VALUES (1, 'node1', 'idle', 'physical', 'x86_64', 1, 8589934592, 0, 2, '', 'redfish', '{"system": "1"}', '', '{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}', true, 'b1', 'idle', '', '', '', 0, '2026-01-02 03:04:05.678901+00', NULL, '{"cost": 1.5, "list": ["a", "b"]}', NULL);
INSERT INTO public.resources VALUES (3, 'node3', 'off', 'physical', 'x86_64', 3, 8589934592, 0, 2, '', 'redfish', '{"system": "3"}', '', '{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}', true, 'b1', 'idle', '', '', '', 0, '2026-01-02 03:04:05.678901+00', NULL, '{"cost": 1.5, "list": ["a", "b"]}', NULL);
INSERT INTO public.resources VALUES (4, 'node4', 'quarantined', 'physical', 'x86_64', 4, 8589934592, 0, 2, '', 'redfish', '{"system": "4"}', '', '{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}', true, 'b1', 'idle', '', '', '', 0, '2026-01-02 03:04:05.678901+00', NULL, '{"cost": 1.5, "list": ["a", "b"]}', NULL);
INSERT INTO public.resources VALUES (2, 'node2', 'active', 'physical', 'x86_64', 2, 8589934592, 0, 2, '', 'redfish', '{"system": "2"}', '', '{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}', true, 'b1', 'idle', '', '', '', 0, '2026-01-02 03:04:05.678901+00', NULL, '{"cost": 1.5, "list": ["a", "b"]}', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd');
INSERT INTO public.settings VALUES ('default_kernel', '"debian12"');
INSERT INTO public.settings VALUES ('nothing', 'null');
INSERT INTO public.settings VALUES ('nested', '{"a": [1, null, "x"]}');
INSERT INTO public.storages VALUES (1, 'san1', 'directory', 'san1.example', '/srv/volumes', '10.78.0.10', '{"quota": true}');
INSERT INTO public.volumes VALUES (1, 'golden', 'san1', 2048, '', '{}');
INSERT INTO public.volumes VALUES (2, 'web-0', 'san1', 0, 'golden', '{"pending": true}');
SELECT pg_catalog.setval('public.appliances_id_seq', 2, true);
SELECT pg_catalog.setval('public.assignments_id_seq', 2, true);
SELECT pg_catalog.setval('public.audit_id_seq', 27, true);
SELECT pg_catalog.setval('public.events_id_seq', 1, true);
SELECT pg_catalog.setval('public.images_id_seq', 2, true);
SELECT pg_catalog.setval('public.kernels_id_seq', 1, true);
SELECT pg_catalog.setval('public.orders_id_seq', 1, true);
SELECT pg_catalog.setval('public.plans_id_seq', 1, true);
SELECT pg_catalog.setval('public.resources_id_seq', 5, true);
SELECT pg_catalog.setval('public.storages_id_seq', 1, true);
SELECT pg_catalog.setval('public.volumes_id_seq', 2, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT pk_api_tokens PRIMARY KEY (name);
ALTER TABLE ONLY public.appliances
    ADD CONSTRAINT pk_appliances PRIMARY KEY (id);
ALTER TABLE ONLY public.assignments
    ADD CONSTRAINT pk_assignments PRIMARY KEY (id);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT pk_audit PRIMARY KEY (id);
ALTER TABLE ONLY public.epochs
    ADD CONSTRAINT pk_epochs PRIMARY KEY (appliance, member);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);
ALTER TABLE ONLY public.host_keys
    ADD CONSTRAINT pk_host_keys PRIMARY KEY (subject);
ALTER TABLE ONLY public.identities
    ADD CONSTRAINT pk_identities PRIMARY KEY (resource);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT pk_images PRIMARY KEY (id);
ALTER TABLE ONLY public.kernels
    ADD CONSTRAINT pk_kernels PRIMARY KEY (id);
ALTER TABLE ONLY public.nics
    ADD CONSTRAINT pk_nics PRIMARY KEY (mac);
ALTER TABLE ONLY public.operations
    ADD CONSTRAINT pk_operations PRIMARY KEY (plan, seq);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT pk_orders PRIMARY KEY (id);
ALTER TABLE ONLY public.plan_objects
    ADD CONSTRAINT pk_plan_objects PRIMARY KEY (plan, "position");
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT pk_plans PRIMARY KEY (id);
ALTER TABLE ONLY public.plugins
    ADD CONSTRAINT pk_plugins PRIMARY KEY (name);
ALTER TABLE ONLY public.resource_tags
    ADD CONSTRAINT pk_resource_tags PRIMARY KEY (resource, tag);
ALTER TABLE ONLY public.resources
    ADD CONSTRAINT pk_resources PRIMARY KEY (id);
ALTER TABLE ONLY public.settings
    ADD CONSTRAINT pk_settings PRIMARY KEY (key);
ALTER TABLE ONLY public.storages
    ADD CONSTRAINT pk_storages PRIMARY KEY (id);
ALTER TABLE ONLY public.volumes
    ADD CONSTRAINT pk_volumes PRIMARY KEY (id);
ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT uq_api_tokens_token_sha256 UNIQUE (token_sha256);
ALTER TABLE ONLY public.appliances
    ADD CONSTRAINT uq_appliances_name UNIQUE (name);
ALTER TABLE ONLY public.assignments
    ADD CONSTRAINT uq_assignments_appliance_member UNIQUE (appliance, member);
ALTER TABLE ONLY public.assignments
    ADD CONSTRAINT uq_assignments_resource UNIQUE (resource);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT uq_images_name UNIQUE (name);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT uq_images_name_shared UNIQUE (name, shared);
ALTER TABLE ONLY public.kernels
    ADD CONSTRAINT uq_kernels_name UNIQUE (name);
ALTER TABLE ONLY public.resources
    ADD CONSTRAINT uq_resources_name UNIQUE (name);
ALTER TABLE ONLY public.resources
    ADD CONSTRAINT uq_resources_token_sha256 UNIQUE (token_sha256);
ALTER TABLE ONLY public.storages
    ADD CONSTRAINT uq_storages_name UNIQUE (name);
ALTER TABLE ONLY public.volumes
    ADD CONSTRAINT uq_volumes_storage_name UNIQUE (storage, name);
CREATE INDEX ix_appliances_image ON public.appliances USING btree (image);
CREATE INDEX ix_appliances_kernel ON public.appliances USING btree (kernel);
CREATE INDEX ix_appliances_state ON public.appliances USING btree (state);
CREATE INDEX ix_assignments_image ON public.assignments USING btree (image);
CREATE INDEX ix_audit_kind_name_id ON public.audit USING btree (kind, name, id);
CREATE INDEX ix_events_kind_name_id ON public.events USING btree (kind, name, id);
CREATE INDEX ix_events_severity_id ON public.events USING btree (severity, id);
CREATE INDEX ix_identities_previous_sha256 ON public.identities USING btree (previous_sha256);
CREATE INDEX ix_images_storage_volume ON public.images USING btree (storage, volume);
CREATE INDEX ix_nics_resource ON public.nics USING btree (resource);
CREATE INDEX ix_orders_resource ON public.orders USING btree (resource);
CREATE INDEX ix_plan_objects_kind_name ON public.plan_objects USING btree (kind, name);
CREATE INDEX ix_plans_state ON public.plans USING btree (state);
CREATE INDEX ix_resource_tags_tag_resource ON public.resource_tags USING btree (tag, resource);
CREATE INDEX ix_resources_choice ON public.resources USING btree (state, type, arch, memory_mib, cores, disk_mib, nic_count, name);
CREATE UNIQUE INDEX uq_assignments_exclusive_image ON public.assignments USING btree (image) WHERE (NOT shared);
CREATE UNIQUE INDEX uq_nics_storage_address ON public.nics USING btree (address) WHERE (((role)::text = 'storage'::text) AND ((address)::text <> ''::text));
CREATE UNIQUE INDEX uq_orders_pending ON public.orders USING btree (resource) WHERE ((state)::text = 'pending'::text);
ALTER TABLE ONLY public.appliances
    ADD CONSTRAINT fk_appliances_image FOREIGN KEY (image) REFERENCES public.images(name) ON UPDATE CASCADE;
ALTER TABLE ONLY public.appliances
    ADD CONSTRAINT fk_appliances_kernel FOREIGN KEY (kernel) REFERENCES public.kernels(name) ON UPDATE CASCADE;
ALTER TABLE ONLY public.assignments
    ADD CONSTRAINT fk_assignments_appliance FOREIGN KEY (appliance) REFERENCES public.appliances(name) ON UPDATE CASCADE;
ALTER TABLE ONLY public.assignments
    ADD CONSTRAINT fk_assignments_image_shared FOREIGN KEY (image, shared) REFERENCES public.images(name, shared) ON UPDATE CASCADE;
ALTER TABLE ONLY public.assignments
    ADD CONSTRAINT fk_assignments_resource FOREIGN KEY (resource) REFERENCES public.resources(name) ON UPDATE CASCADE;
ALTER TABLE ONLY public.identities
    ADD CONSTRAINT fk_identities_resource FOREIGN KEY (resource) REFERENCES public.resources(name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.images
    ADD CONSTRAINT fk_images_storage_volume FOREIGN KEY (storage, volume) REFERENCES public.volumes(storage, name) ON UPDATE CASCADE;
ALTER TABLE ONLY public.nics
    ADD CONSTRAINT fk_nics_resource FOREIGN KEY (resource) REFERENCES public.resources(name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.operations
    ADD CONSTRAINT fk_operations_plan FOREIGN KEY (plan) REFERENCES public.plans(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT fk_orders_resource FOREIGN KEY (resource) REFERENCES public.resources(name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.plan_objects
    ADD CONSTRAINT fk_plan_objects_plan FOREIGN KEY (plan) REFERENCES public.plans(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.resource_tags
    ADD CONSTRAINT fk_resource_tags_resource FOREIGN KEY (resource) REFERENCES public.resources(name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.volumes
    ADD CONSTRAINT fk_volumes_storage FOREIGN KEY (storage) REFERENCES public.storages(name) ON UPDATE CASCADE;
