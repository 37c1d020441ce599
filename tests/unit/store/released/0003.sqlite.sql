BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE api_tokens (
	name VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	token_sha256 VARCHAR NOT NULL, 
	created DATETIME NOT NULL, expires DATETIME, 
	CONSTRAINT pk_api_tokens PRIMARY KEY (name), 
	CONSTRAINT ck_api_tokens_role CHECK ("role" IN ('viewer', 'operator', 'admin')), 
	CONSTRAINT uq_api_tokens_token_sha256 UNIQUE (token_sha256)
);
INSERT INTO "api_tokens" VALUES('nightly','operator','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-11-22 09:40:34.485902',NULL);
CREATE TABLE appliances (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	kernel VARCHAR NOT NULL, 
	image VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	requirements JSON NOT NULL, 
	members BIGINT NOT NULL, 
	clone BOOLEAN NOT NULL, 
	root_mode VARCHAR NOT NULL, 
	sla JSON NOT NULL, 
	deadline DATETIME, 
	parameters JSON NOT NULL, 
	CONSTRAINT ck_appliances_state CHECK ("state" IN ('stopped', 'starting', 'active', 'stopping', 'failed')), 
	CONSTRAINT ck_appliances_sizes CHECK (members >= 0), 
	CONSTRAINT fk_appliances_image FOREIGN KEY(image) REFERENCES images (name) ON UPDATE CASCADE, 
	CONSTRAINT fk_appliances_kernel FOREIGN KEY(kernel) REFERENCES kernels (name) ON UPDATE CASCADE, 
	CONSTRAINT uq_appliances_name UNIQUE (name)
);
INSERT INTO "appliances" VALUES(1,'web','debian12','golden','active','{"cores": 2, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": ["gpu"], "anti_affinity": "", "resource": ""}',1,1,'read-write','{"ha": true}',NULL,'{}');
INSERT INTO "appliances" VALUES(2,'db','debian12','golden','stopped','{"cores": 1, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": [], "anti_affinity": "", "resource": ""}',2,0,'read-write','{}',NULL,'{}');
CREATE TABLE assignments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	appliance VARCHAR NOT NULL, 
	member INTEGER NOT NULL, 
	resource VARCHAR NOT NULL, 
	image VARCHAR NOT NULL, 
	shared BOOLEAN NOT NULL, 
	epoch BIGINT NOT NULL, 
	"plan" INTEGER NOT NULL, 
	since DATETIME NOT NULL, 
	CONSTRAINT fk_assignments_appliance FOREIGN KEY(appliance) REFERENCES appliances (name) ON UPDATE CASCADE, 
	CONSTRAINT fk_assignments_image_shared FOREIGN KEY(image, shared) REFERENCES images (name, shared) ON UPDATE CASCADE, 
	CONSTRAINT fk_assignments_resource FOREIGN KEY(resource) REFERENCES resources (name) ON UPDATE CASCADE, 
	CONSTRAINT uq_assignments_appliance_member UNIQUE (appliance, member), 
	CONSTRAINT uq_assignments_resource UNIQUE (resource)
);
INSERT INTO "assignments" VALUES(2,'web',0,'node2','web-0',0,2,1,'2026-11-22 09:40:34.413093');
CREATE TABLE audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	time DATETIME NOT NULL, 
	actor VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	"before" JSON NOT NULL, 
	"after" JSON NOT NULL
);
INSERT INTO "audit" VALUES(1,'2026-11-22 09:40:34.035698','freeze','fill','add','resource','node1','{}','{"id": 1, "name": "node1", "state": "idle", "type": "physical", "arch": "x86_64", "cores": 1, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:01", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:01", "name": "eth1", "role": "storage", "address": "10.78.0.1/24"}], "tags": ["gpu", "rack:r1"], "address": "", "power_driver": "redfish", "power": {"system": "1"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO "audit" VALUES(2,'2026-11-22 09:40:34.035751','freeze','fill','add','resource','node2','{}','{"id": 2, "name": "node2", "state": "active", "type": "physical", "arch": "x86_64", "cores": 2, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:02", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:02", "name": "eth1", "role": "storage", "address": "10.78.0.2/24"}], "tags": ["gpu", "rack:r2"], "address": "", "power_driver": "redfish", "power": {"system": "2"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO "audit" VALUES(3,'2026-11-22 09:40:34.035783','freeze','fill','add','resource','node3','{}','{"id": 3, "name": "node3", "state": "off", "type": "physical", "arch": "x86_64", "cores": 3, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:03", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:03", "name": "eth1", "role": "storage", "address": "10.78.0.3/24"}], "tags": ["gpu", "rack:r3"], "address": "", "power_driver": "redfish", "power": {"system": "3"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO "audit" VALUES(4,'2026-11-22 09:40:34.035815','freeze','fill','add','resource','node4','{}','{"id": 4, "name": "node4", "state": "quarantined", "type": "physical", "arch": "x86_64", "cores": 4, "memory_mib": 8589934592, "disk_mib": 0, "nics": [{"mac": "52:54:00:00:00:04", "name": "eth0", "role": "management", "address": ""}, {"mac": "52:54:00:00:01:04", "name": "eth1", "role": "storage", "address": "10.78.0.4/24"}], "tags": ["gpu", "rack:r4"], "address": "", "power_driver": "redfish", "power": {"system": "4"}, "firmware": "", "hardware": {"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}, "monitored": true, "boot_id": "b1", "mode": "idle", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": "2026-01-02T03:04:05.678901+00:00", "deadline": null, "parameters": {"cost": 1.5, "list": ["a", "b"]}}');
INSERT INTO "audit" VALUES(5,'2026-11-22 09:40:34.051725','freeze','fill','add','kernel','debian12','{}','{"id": 1, "name": "debian12", "version": "6.1.0-13-cloud-amd64", "arch": "x86_64", "vmlinuz": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "initramfs": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "modules": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "sizes": {"vmlinuz": 8589934592}, "parameters": {}}');
INSERT INTO "audit" VALUES(6,'2026-11-22 09:40:34.069960','freeze','fill','add','storage','san1','{}','{"id": 1, "name": "san1", "type": "directory", "host": "san1.example", "location": "/srv/volumes", "address": "10.78.0.10", "parameters": {"quota": true}}');
INSERT INTO "audit" VALUES(7,'2026-11-22 09:40:34.095636','freeze','fill','add','volume','san1/golden','{}','{"id": 1, "name": "golden", "storage": "san1", "size_mib": 2048, "parent": "", "parameters": {}}');
INSERT INTO "audit" VALUES(8,'2026-11-22 09:40:34.095660','freeze','fill','add','volume','san1/web-0','{}','{"id": 2, "name": "web-0", "storage": "san1", "size_mib": 0, "parent": "golden", "parameters": {"pending": true}}');
INSERT INTO "audit" VALUES(9,'2026-11-22 09:40:34.117347','freeze','fill','add','image','golden','{}','{"id": 1, "name": "golden", "storage": "san1", "volume": "golden", "deployment": "nfs", "kind": "golden", "shared": false, "parent": "", "parameters": {}}');
INSERT INTO "audit" VALUES(10,'2026-11-22 09:40:34.117365','freeze','fill','add','image','web-0','{}','{"id": 2, "name": "web-0", "storage": "san1", "volume": "web-0", "deployment": "nfs", "kind": "clone", "shared": false, "parent": "golden", "parameters": {}}');
INSERT INTO "audit" VALUES(11,'2026-11-22 09:40:34.144511','freeze','fill','add','appliance','web','{}','{"id": 1, "name": "web", "kernel": "debian12", "image": "golden", "state": "active", "requirements": {"cores": 2, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": ["gpu"], "anti_affinity": "", "resource": ""}, "members": 1, "clone": true, "root_mode": "read-write", "sla": {"ha": true}, "deadline": null, "parameters": {}}');
INSERT INTO "audit" VALUES(12,'2026-11-22 09:40:34.144532','freeze','fill','add','appliance','db','{}','{"id": 2, "name": "db", "kernel": "debian12", "image": "golden", "state": "stopped", "requirements": {"cores": 1, "memory_mib": 1, "nics": 1, "disk_mib": 0, "type": "physical", "arch": "x86_64", "tags": [], "anti_affinity": "", "resource": ""}, "members": 2, "clone": false, "root_mode": "read-write", "sla": {}, "deadline": null, "parameters": {}}');
INSERT INTO "audit" VALUES(13,'2026-11-22 09:40:34.170486','freeze','fill','add','plan','1','{}','{"verb": "start", "state": "done"}');
INSERT INTO "audit" VALUES(14,'2026-11-22 09:40:34.276630','freeze','fill','assign','appliance','web','{}','{"member": 0, "resource": "node2", "image": "web-0", "epoch": 1, "plan": 1}');
INSERT INTO "audit" VALUES(15,'2026-11-22 09:40:34.389238','freeze','fill','release','appliance','web','{"member": 0, "resource": "node2", "image": "web-0", "epoch": 1, "plan": 1}','{}');
INSERT INTO "audit" VALUES(16,'2026-11-22 09:40:34.414034','freeze','fill','assign','appliance','web','{}','{"member": 0, "resource": "node2", "image": "web-0", "epoch": 2, "plan": 1}');
INSERT INTO "audit" VALUES(17,'2026-11-22 09:40:34.472373','freeze','fill','register','resource','node2','{}','{"assignment": 2}');
INSERT INTO "audit" VALUES(18,'2026-11-22 09:40:34.498807','freeze','fill','create','token','nightly','{}','{"role": "operator"}');
INSERT INTO "audit" VALUES(19,'2026-11-22 09:40:34.499872','freeze','fill','create','host key','web/0','{}','{"public": "ssh-ed25519 AAAA"}');
INSERT INTO "audit" VALUES(20,'2026-11-22 09:40:34.594225','freeze','fill','order','resource','node2','{}','{"order": "assign", "epoch": 2, "id": 1}');
INSERT INTO "audit" VALUES(21,'2026-11-22 09:40:34.624541','freeze','fill','change','order','1','{"state": "pending"}','{"state": "accepted"}');
INSERT INTO "audit" VALUES(22,'2026-11-22 09:40:34.700682','freeze','fill','set','setting','default_kernel','{}','{"value": "debian12"}');
INSERT INTO "audit" VALUES(23,'2026-11-22 09:40:34.704591','freeze','fill','set','setting','nothing','{}','{"value": null}');
INSERT INTO "audit" VALUES(24,'2026-11-22 09:40:34.719254','freeze','fill','set','setting','nested','{}','{"value": {"a": [1, null, "x"]}}');
INSERT INTO "audit" VALUES(25,'2026-11-22 09:40:34.741220','freeze','fill','set','plugin','hosts','{}','{"enabled": true}');
INSERT INTO "audit" VALUES(26,'2026-11-22 09:40:34.777905','freeze','fill','add','resource','gone','{}','{"id": 5, "name": "gone", "state": "new", "type": "physical", "arch": "x86_64", "cores": 0, "memory_mib": 0, "disk_mib": 0, "nics": [], "tags": [], "address": "", "power_driver": "", "power": {}, "firmware": "", "hardware": {}, "monitored": true, "boot_id": "", "mode": "", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": null, "deadline": null, "parameters": {}}');
INSERT INTO "audit" VALUES(27,'2026-11-22 09:40:34.885742','freeze','fill','remove','resource','gone','{"id": 5, "name": "gone", "state": "new", "type": "physical", "arch": "x86_64", "cores": 0, "memory_mib": 0, "disk_mib": 0, "nics": [], "tags": [], "address": "", "power_driver": "", "power": {}, "firmware": "", "hardware": {}, "monitored": true, "boot_id": "", "mode": "", "stage": "", "kernel": "", "manifest": "", "reported_epoch": 0, "last_seen": null, "deadline": null, "parameters": {}}','{}');
CREATE TABLE epochs (
	appliance VARCHAR NOT NULL, 
	member INTEGER NOT NULL, 
	epoch BIGINT NOT NULL, 
	CONSTRAINT pk_epochs PRIMARY KEY (appliance, member)
);
INSERT INTO "epochs" VALUES('web',0,2);
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	time DATETIME NOT NULL, 
	severity VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	data JSON NOT NULL, 
	CONSTRAINT ck_events_severity CHECK ("severity" IN ('info', 'warning', 'error'))
);
INSERT INTO "events" VALUES(1,'2026-11-22 09:40:34.624558','warning','resource','node2','Line one
line two','{"problem": "test"}');
CREATE TABLE host_keys (
	subject VARCHAR NOT NULL, 
	public VARCHAR NOT NULL, 
	sealed VARCHAR NOT NULL, 
	CONSTRAINT pk_host_keys PRIMARY KEY (subject)
);
INSERT INTO "host_keys" VALUES('web/0','ssh-ed25519 AAAA','sealed');
CREATE TABLE identities (
	resource VARCHAR NOT NULL, 
	claim_sha256 VARCHAR NOT NULL, 
	assignment BIGINT NOT NULL, 
	issued DATETIME NOT NULL, 
	used DATETIME, 
	previous_sha256 VARCHAR, 
	approved BOOLEAN NOT NULL, 
	boot_expected BOOLEAN NOT NULL, 
	CONSTRAINT pk_identities PRIMARY KEY (resource), 
	CONSTRAINT fk_identities_resource FOREIGN KEY(resource) REFERENCES resources (name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "identities" VALUES('node2','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'2026-01-02 03:04:05.678901',NULL,NULL,1,0);
CREATE TABLE images (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	storage VARCHAR NOT NULL, 
	volume VARCHAR NOT NULL, 
	deployment VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	shared BOOLEAN NOT NULL, 
	parent VARCHAR NOT NULL, 
	parameters JSON NOT NULL, 
	CONSTRAINT ck_images_kind CHECK ("kind" IN ('golden', 'clone', 'private')), 
	CONSTRAINT fk_images_storage_volume FOREIGN KEY(storage, volume) REFERENCES volumes (storage, name) ON UPDATE CASCADE, 
	CONSTRAINT uq_images_name_shared UNIQUE (name, shared), 
	CONSTRAINT uq_images_name UNIQUE (name)
);
INSERT INTO "images" VALUES(1,'golden','san1','golden','nfs','golden',0,'','{}');
INSERT INTO "images" VALUES(2,'web-0','san1','web-0','nfs','clone',0,'golden','{}');
CREATE TABLE kernels (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	arch VARCHAR NOT NULL, 
	vmlinuz VARCHAR NOT NULL, 
	initramfs VARCHAR NOT NULL, 
	modules VARCHAR NOT NULL, 
	sizes JSON NOT NULL, 
	parameters JSON NOT NULL, 
	CONSTRAINT uq_kernels_name UNIQUE (name)
);
INSERT INTO "kernels" VALUES(1,'debian12','6.1.0-13-cloud-amd64','x86_64','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','{"vmlinuz": 8589934592}','{}');
CREATE TABLE nics (
	mac VARCHAR NOT NULL, 
	resource VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	address VARCHAR NOT NULL, 
	CONSTRAINT pk_nics PRIMARY KEY (mac), 
	CONSTRAINT fk_nics_resource FOREIGN KEY(resource) REFERENCES resources (name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "nics" VALUES('52:54:00:00:00:01','node1',0,'eth0','management','');
INSERT INTO "nics" VALUES('52:54:00:00:01:01','node1',1,'eth1','storage','10.78.0.1/24');
INSERT INTO "nics" VALUES('52:54:00:00:00:02','node2',0,'eth0','management','');
INSERT INTO "nics" VALUES('52:54:00:00:01:02','node2',1,'eth1','storage','10.78.0.2/24');
INSERT INTO "nics" VALUES('52:54:00:00:00:03','node3',0,'eth0','management','');
INSERT INTO "nics" VALUES('52:54:00:00:01:03','node3',1,'eth1','storage','10.78.0.3/24');
INSERT INTO "nics" VALUES('52:54:00:00:00:04','node4',0,'eth0','management','');
INSERT INTO "nics" VALUES('52:54:00:00:01:04','node4',1,'eth1','storage','10.78.0.4/24');
CREATE TABLE operations (
	"plan" INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	phase INTEGER NOT NULL, 
	host VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	verb VARCHAR NOT NULL, 
	variable VARCHAR NOT NULL, 
	items JSON NOT NULL, 
	undo VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	attempts INTEGER NOT NULL, 
	CONSTRAINT pk_operations PRIMARY KEY ("plan", seq), 
	CONSTRAINT ck_operations_state CHECK ("state" IN ('pending', 'done', 'failed', 'undone')), 
	CONSTRAINT fk_operations_plan FOREIGN KEY("plan") REFERENCES plans (id) ON DELETE CASCADE
);
INSERT INTO "operations" VALUES(1,1,1,'san1','openqrm.datacenter.storage_directory','volume_clone','storage_volumes','[{"name": "web-0", "source": "golden"}]','','done','',0);
CREATE TABLE orders (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	resource VARCHAR NOT NULL, 
	"order" VARCHAR NOT NULL, 
	epoch BIGINT NOT NULL, 
	manifest VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT ck_orders_order CHECK ("order" IN ('assign', 'release', 'reboot', 'poweroff')), 
	CONSTRAINT ck_orders_state CHECK ("state" IN ('pending', 'accepted', 'done', 'failed', 'superseded')), 
	CONSTRAINT fk_orders_resource FOREIGN KEY(resource) REFERENCES resources (name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "orders" VALUES(1,'node2','assign',2,'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','accepted','','2026-11-22 09:40:34.577614');
CREATE TABLE plan_objects (
	"plan" INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	data JSON NOT NULL, 
	CONSTRAINT pk_plan_objects PRIMARY KEY ("plan", position), 
	CONSTRAINT fk_plan_objects_plan FOREIGN KEY("plan") REFERENCES plans (id) ON DELETE CASCADE
);
INSERT INTO "plan_objects" VALUES(1,0,'appliance','web','{"kind": "appliance", "name": "web"}');
CREATE TABLE plans (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	verb VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	basis VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	created DATETIME NOT NULL, 
	message VARCHAR NOT NULL, 
	CONSTRAINT ck_plans_state CHECK ("state" IN ('planned', 'applying', 'done', 'failed', 'undone', 'cancelled'))
);
INSERT INTO "plans" VALUES(1,'start','done','digest','','2026-11-22 09:40:34.147910','');
CREATE TABLE plugins (
	name VARCHAR NOT NULL, 
	fields JSON NOT NULL, 
	CONSTRAINT pk_plugins PRIMARY KEY (name)
);
INSERT INTO "plugins" VALUES('hosts','{"enabled": true}');
CREATE TABLE resource_tags (
	resource VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	CONSTRAINT pk_resource_tags PRIMARY KEY (resource, tag), 
	CONSTRAINT fk_resource_tags_resource FOREIGN KEY(resource) REFERENCES resources (name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "resource_tags" VALUES('node1','gpu');
INSERT INTO "resource_tags" VALUES('node1','rack:r1');
INSERT INTO "resource_tags" VALUES('node2','gpu');
INSERT INTO "resource_tags" VALUES('node2','rack:r2');
INSERT INTO "resource_tags" VALUES('node3','gpu');
INSERT INTO "resource_tags" VALUES('node3','rack:r3');
INSERT INTO "resource_tags" VALUES('node4','gpu');
INSERT INTO "resource_tags" VALUES('node4','rack:r4');
CREATE TABLE resources (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	arch VARCHAR NOT NULL, 
	cores BIGINT NOT NULL, 
	memory_mib BIGINT NOT NULL, 
	disk_mib BIGINT NOT NULL, 
	nic_count BIGINT NOT NULL, 
	address VARCHAR NOT NULL, 
	power_driver VARCHAR NOT NULL, 
	power JSON NOT NULL, 
	firmware VARCHAR NOT NULL, 
	hardware JSON NOT NULL, 
	monitored BOOLEAN NOT NULL, 
	boot_id VARCHAR NOT NULL, 
	mode VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	kernel VARCHAR NOT NULL, 
	manifest VARCHAR NOT NULL, 
	reported_epoch BIGINT NOT NULL, 
	last_seen DATETIME, 
	deadline DATETIME, 
	parameters JSON NOT NULL, 
	token_sha256 VARCHAR, 
	CONSTRAINT ck_resources_state CHECK ("state" IN ('new', 'idle', 'reserved', 'starting', 'active', 'stopping', 'error', 'off', 'unknown', 'quarantined')), 
	CONSTRAINT ck_resources_sizes CHECK (cores >= 0 AND memory_mib >= 0 AND disk_mib >= 0 AND nic_count >= 0), 
	CONSTRAINT uq_resources_name UNIQUE (name), 
	CONSTRAINT uq_resources_token_sha256 UNIQUE (token_sha256)
);
INSERT INTO "resources" VALUES(1,'node1','idle','physical','x86_64',1,8589934592,0,2,'','redfish','{"system": "1"}','','{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}',1,'b1','idle','','','',0,'2026-01-02 03:04:05.678901',NULL,'{"cost": 1.5, "list": ["a", "b"]}',NULL);
INSERT INTO "resources" VALUES(2,'node2','active','physical','x86_64',2,8589934592,0,2,'','redfish','{"system": "2"}','','{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}',1,'b1','idle','','','',0,'2026-01-02 03:04:05.678901',NULL,'{"cost": 1.5, "list": ["a", "b"]}','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd');
INSERT INTO "resources" VALUES(3,'node3','off','physical','x86_64',3,8589934592,0,2,'','redfish','{"system": "3"}','','{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}',1,'b1','idle','','','',0,'2026-01-02 03:04:05.678901',NULL,'{"cost": 1.5, "list": ["a", "b"]}',NULL);
INSERT INTO "resources" VALUES(4,'node4','quarantined','physical','x86_64',4,8589934592,0,2,'','redfish','{"system": "4"}','','{"dmi": {"vendor": "O''Neill \"& S\u00f6hne\"; --"}}',1,'b1','idle','','','',0,'2026-01-02 03:04:05.678901',NULL,'{"cost": 1.5, "list": ["a", "b"]}',NULL);
CREATE TABLE settings (
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('default_kernel','"debian12"');
INSERT INTO "settings" VALUES('nothing','null');
INSERT INTO "settings" VALUES('nested','{"a": [1, null, "x"]}');
CREATE TABLE storages (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	location VARCHAR NOT NULL, 
	address VARCHAR NOT NULL, 
	parameters JSON NOT NULL, 
	CONSTRAINT uq_storages_name UNIQUE (name)
);
INSERT INTO "storages" VALUES(1,'san1','directory','san1.example','/srv/volumes','10.78.0.10','{"quota": true}');
CREATE TABLE volumes (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	storage VARCHAR NOT NULL, 
	size_mib BIGINT NOT NULL, 
	parent VARCHAR NOT NULL, 
	parameters JSON NOT NULL, 
	CONSTRAINT ck_volumes_sizes CHECK (size_mib >= 0), 
	CONSTRAINT fk_volumes_storage FOREIGN KEY(storage) REFERENCES storages (name) ON UPDATE CASCADE, 
	CONSTRAINT uq_volumes_storage_name UNIQUE (storage, name)
);
INSERT INTO "volumes" VALUES(1,'golden','san1',2048,'','{}');
INSERT INTO "volumes" VALUES(2,'web-0','san1',0,'golden','{"pending": true}');
CREATE INDEX ix_audit_kind_name_id ON audit (kind, name, id);
CREATE INDEX ix_events_kind_name_id ON events (kind, name, id);
CREATE INDEX ix_events_severity_id ON events (severity, id);
CREATE INDEX ix_plans_state ON plans (state);
CREATE INDEX ix_resources_choice ON resources (state, type, arch, memory_mib, cores, disk_mib, nic_count, name);
CREATE INDEX ix_nics_resource ON nics (resource);
CREATE UNIQUE INDEX uq_nics_storage_address ON nics (address) WHERE role = 'storage' AND address <> '';
CREATE INDEX ix_orders_resource ON orders (resource);
CREATE UNIQUE INDEX uq_orders_pending ON orders (resource) WHERE state = 'pending';
CREATE INDEX ix_plan_objects_kind_name ON plan_objects (kind, name);
CREATE INDEX ix_resource_tags_tag_resource ON resource_tags (tag, resource);
CREATE INDEX ix_images_storage_volume ON images (storage, volume);
CREATE INDEX ix_appliances_image ON appliances (image);
CREATE INDEX ix_appliances_kernel ON appliances (kernel);
CREATE INDEX ix_appliances_state ON appliances (state);
CREATE INDEX ix_assignments_image ON assignments (image);
CREATE UNIQUE INDEX uq_assignments_exclusive_image ON assignments (image) WHERE NOT shared;
CREATE INDEX ix_identities_previous_sha256 ON identities (previous_sha256);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('resources',5);
INSERT INTO "sqlite_sequence" VALUES('kernels',1);
INSERT INTO "sqlite_sequence" VALUES('storages',1);
INSERT INTO "sqlite_sequence" VALUES('volumes',2);
INSERT INTO "sqlite_sequence" VALUES('images',2);
INSERT INTO "sqlite_sequence" VALUES('appliances',2);
INSERT INTO "sqlite_sequence" VALUES('plans',1);
INSERT INTO "sqlite_sequence" VALUES('assignments',2);
INSERT INTO "sqlite_sequence" VALUES('orders',1);
INSERT INTO "sqlite_sequence" VALUES('events',1);
INSERT INTO "sqlite_sequence" VALUES('audit',27);
COMMIT;
