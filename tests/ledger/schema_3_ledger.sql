BEGIN TRANSACTION;
CREATE TABLE audit (
	position INTEGER NOT NULL, 
	time BIGINT NOT NULL, 
	actor VARCHAR(120) NOT NULL, 
	action VARCHAR(60) NOT NULL, 
	subject VARCHAR(200) NOT NULL, 
	detail TEXT NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (position)
);
INSERT INTO "audit" VALUES(1,1795374959540386,'local','customer.add','cus_e5ee5d5d2cf91e1a','{"name": "Müller & Co"}','ef9f97aa442a0039d9525f098d5af0a252eb63c65bb9c19baa7832536e2c3605');
INSERT INTO "audit" VALUES(2,1795374959546228,'local','customer.add','cus_ac61414a88d07085','{"name": "Other customer"}','cb9378b0361405766a90a21a5cdb74787ab7d6fe335c1ef90bbc2de53dd4c1e9');
INSERT INTO "audit" VALUES(3,1795374959552523,'local','key.create','OMIz3fvQ','{"customer": "cus_e5ee5d5d2cf91e1a", "scopes": "feedback predict usage"}','1064fff460bf064eec951478aa33a853d29377fac7fca95e8ea90b4b3d9dd1c6');
INSERT INTO "audit" VALUES(4,1795374959555455,'local','key.create','5zZJFl2q','{"customer": "cus_ac61414a88d07085", "scopes": "feedback predict usage"}','abbbbbe7617d2ad28250d804527c22a300162c7dda0df86b307a808620f42b5f');
INSERT INTO "audit" VALUES(5,1795374959560173,'local','key.revoke','5zZJFl2q','{"customer": "cus_ac61414a88d07085"}','e8be162e11f2b97a0cdb75c3bad09d25f962bdfcf685a1dbc4f4b2d2d02a44ff');
INSERT INTO "audit" VALUES(6,1795374959579329,'ledger','chain.anchor','main','{"hash": "a3401f8707c8f44184288c20fe04f83a3d1470d66c27dea43a05b2c58d5342a0", "seq": 13}','ded6db31544d656b7ea751ed0816e82a8221af47b4dd5f3102efcf9526d88245');
CREATE TABLE balances (
	customer VARCHAR(40) NOT NULL, 
	period VARCHAR(7) NOT NULL, 
	meter VARCHAR(60) NOT NULL, 
	used NUMERIC(38, 0) NOT NULL, 
	reserved NUMERIC(38, 0) NOT NULL, 
	PRIMARY KEY (customer, period, meter)
);
CREATE TABLE closed_periods (
	customer VARCHAR(40) NOT NULL, 
	period VARCHAR(7) NOT NULL, 
	time BIGINT NOT NULL, 
	reference VARCHAR(200) NOT NULL, 
	PRIMARY KEY (customer, period)
);
CREATE TABLE customers (
	id VARCHAR(40) NOT NULL, 
	name TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	terms TEXT NOT NULL, erased BIGINT, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "customers" VALUES('cus_e5ee5d5d2cf91e1a','Müller & Co',1795374959538869,'{"quotas": {"answers": 1000}, "spend_cap": null, "requests_per_second": null, "burst": null}',NULL);
INSERT INTO "customers" VALUES('cus_ac61414a88d07085','Other customer',1795374959545579,'{"quotas": {}, "spend_cap": null, "requests_per_second": null, "burst": null}',NULL);
CREATE TABLE erasures (
	position INTEGER NOT NULL, 
	time BIGINT NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	event VARCHAR(64) NOT NULL, 
	PRIMARY KEY (position)
);
CREATE TABLE "events" (
	position INTEGER NOT NULL, 
	writer VARCHAR(64) NOT NULL, 
	seq BIGINT NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	source VARCHAR(200) NOT NULL, 
	kind VARCHAR(12) NOT NULL, 
	about VARCHAR(64) NOT NULL, 
	time BIGINT NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	"key" VARCHAR(16) NOT NULL, 
	release VARCHAR(120) NOT NULL, 
	"plan" VARCHAR(64) NOT NULL, 
	quantities TEXT NOT NULL, 
	answers BIGINT NOT NULL, 
	request VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	counted BIGINT, 
	PRIMARY KEY (position), 
	CONSTRAINT events_id_source UNIQUE (id, source)
);
INSERT INTO "events" VALUES(1,'main',1,'e00','breakeven','usage','',1790812800000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":1,"input_tokens":0}',1,'','39bb2d4dee4ebe404bd713412f32bc65c85d7c4aab3992a67d8eb68502ee5acd',NULL);
INSERT INTO "events" VALUES(2,'main',2,'e01','breakeven','usage','',1790820000000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":2,"input_tokens":10}',1,'','b8960dd40a81fe943acddfaf9918e3f7dc975eb3c25e1811496cfb36788daaad',NULL);
INSERT INTO "events" VALUES(3,'main',3,'e02','breakeven','usage','',1790827200000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":3,"input_tokens":20}',1,'','5925fc3bad686de4248c7323ade3f56892fe4bbe63940c4e28a0962776bee572',NULL);
INSERT INTO "events" VALUES(4,'main',4,'e03','breakeven','usage','',1790834400000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":1,"input_tokens":30}',1,'','f03c81b122502d5516d7ed581aaf18dddeac62cc8fdcb0dfcfa836cb0a7955fb',NULL);
INSERT INTO "events" VALUES(5,'main',5,'e04','breakeven','usage','',1790841600000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":2,"input_tokens":40}',1,'','a0602bb48b75778d9fe8230d03c79f92cc690ebd13ad64f113fe1b0c12eaaa53',NULL);
INSERT INTO "events" VALUES(6,'main',6,'e05','breakeven','usage','',1790848800000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":3,"input_tokens":50}',1,'','ceddb8df1f807f6f2d4c80246485aca372392d261c5fb356445d91fdc91a27b2',NULL);
INSERT INTO "events" VALUES(7,'main',7,'e06','breakeven','usage','',1790856000000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":1,"input_tokens":60}',1,'','4e0ced7a88e843d3ff0b27c2574866cce3a1829f81bc4ab7de3dc9260558cdd3',NULL);
INSERT INTO "events" VALUES(8,'main',8,'e07','breakeven','usage','',1790863200000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":2,"input_tokens":70}',1,'','401dcc9b711c0bc901ff9142af3602547a56908e9407d889e87f7bba10730928',NULL);
INSERT INTO "events" VALUES(9,'main',9,'e08','breakeven','usage','',1790870400000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":3,"input_tokens":80}',1,'','193959784dcbcf0bbd7441df32adb2b9b424a8ed3d00b0a3ae46feef9b231e29',NULL);
INSERT INTO "events" VALUES(10,'main',10,'e09','breakeven','usage','',1790877600000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":1,"input_tokens":90}',1,'','9c97738bd3fe7b2c0f23bb3ea9cf4bc51849ff76ad70348e03471c68d619166f',NULL);
INSERT INTO "events" VALUES(11,'main',11,'e10','breakeven','usage','',1790884800000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":2,"input_tokens":100}',1,'','3eead6eaab5635f14612e2e94a9ea6e05c84c1425ae649c219d76a0aab5eaf8b',NULL);
INSERT INTO "events" VALUES(12,'main',12,'e11','breakeven','usage','',1790892000000000,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":3,"input_tokens":110}',1,'','570ea6190b0de2e8af5c90d449c947ffa480ae4ac2320a0cfbf83f7fd57e39fb',NULL);
INSERT INTO "events" VALUES(13,'main',13,'kept','breakeven','usage','',1790812800000005,'cus_e5ee5d5d2cf91e1a','OMIz3fvQ','demo-1','6b00fa4224b5d3c1','{"answers":1}',1,'ddbdffe4c245f7e390a0828986a74c9d','a3401f8707c8f44184288c20fe04f83a3d1470d66c27dea43a05b2c58d5342a0',NULL);
CREATE TABLE facts (
	name VARCHAR(40) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('schema','3');
INSERT INTO "facts" VALUES('ledger','09aecc1fd553256c');
INSERT INTO "facts" VALUES('salt','8cef100c4d70f34fdd4d143a76f37ecdf04a33194ea6f41be0f08f001a8a57d5');
CREATE TABLE idempotency (
	id VARCHAR(64) NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	event VARCHAR(64) NOT NULL, 
	request VARCHAR(64) NOT NULL, 
	time BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "idempotency" VALUES('2ec4d566c6da7ae8660330ed021599227779387d0b8138ecdf23f5022d9f9399','cus_e5ee5d5d2cf91e1a','kept','ddbdffe4c245f7e390a0828986a74c9d',1790812800000005);
CREATE TABLE invoice_series (
	series VARCHAR(12) NOT NULL, 
	year INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	PRIMARY KEY (series, year)
);
CREATE TABLE invoices (
	number VARCHAR(40) NOT NULL, 
	series VARCHAR(12) NOT NULL, 
	year INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	kind VARCHAR(12) NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	period VARCHAR(7) NOT NULL, 
	about VARCHAR(40) NOT NULL, 
	slot VARCHAR(160) NOT NULL, 
	document TEXT NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (number), 
	CONSTRAINT invoices_no_double UNIQUE (series, year, sequence), 
	CONSTRAINT invoices_slot UNIQUE (slot)
);
CREATE TABLE keys (
	id VARCHAR(16) NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	name TEXT NOT NULL, 
	salt VARCHAR(32) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	last4 VARCHAR(4) NOT NULL, 
	scopes TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	not_before BIGINT, 
	expires BIGINT, 
	revoked BIGINT, replaces VARCHAR(16), 
	PRIMARY KEY (id)
);
INSERT INTO "keys" VALUES('OMIz3fvQ','cus_e5ee5d5d2cf91e1a','laptop of Müller','8fadfb399c683d8e5b2b04ab88cf4b34','946ad787b603e03054b717208a3e6473a794f93c8e66029140ad3b290443d23a','a2e9','feedback predict usage',1795374959550943,NULL,NULL,NULL,NULL);
INSERT INTO "keys" VALUES('5zZJFl2q','cus_ac61414a88d07085','','a012f529978115d79e4a22913ab9bbf8','23b911c84747ee4ef1699e147df6c679fe2e2a4747cbebc10c0cfceb79cbc1b3','rBvO','feedback predict usage',1795374959554878,NULL,NULL,1795374959559602,NULL);
CREATE TABLE plans (
	version VARCHAR(64) NOT NULL, 
	body TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "plans" VALUES('6b00fa4224b5d3c1','{"version": "6b00fa4224b5d3c1", "currency": "EUR", "rates": {"answers": "0.004", "input_tokens": "0.00001"}}',1795374959534397);
CREATE TABLE totals (
	customer VARCHAR(40) NOT NULL, 
	hour BIGINT NOT NULL, 
	"key" VARCHAR(16) NOT NULL, 
	release VARCHAR(120) NOT NULL, 
	"plan" VARCHAR(64) NOT NULL, 
	meter VARCHAR(60) NOT NULL, 
	quantity BIGINT NOT NULL, 
	events BIGINT NOT NULL, 
	PRIMARY KEY (customer, hour, "key", release, "plan", meter)
);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790812800000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',2,2);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790812800000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',0,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790820000000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',2,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790820000000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',10,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790827200000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',3,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790827200000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',20,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790834400000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',1,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790834400000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',30,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790841600000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',2,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790841600000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',40,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790848800000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',3,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790848800000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',50,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790856000000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',1,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790856000000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',60,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790863200000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',2,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790863200000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',70,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790870400000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',3,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790870400000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',80,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790877600000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',1,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790877600000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',90,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790884800000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',2,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790884800000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',100,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790892000000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','answers',3,1);
INSERT INTO "totals" VALUES('cus_e5ee5d5d2cf91e1a',1790892000000000,'OMIz3fvQ','demo-1','6b00fa4224b5d3c1','input_tokens',110,1);
CREATE INDEX ix_keys_customer ON keys (customer);
CREATE INDEX ix_invoices_customer ON invoices (customer);
CREATE INDEX ix_invoices_about ON invoices (about);
CREATE INDEX events_counted ON events (counted) WHERE counted IS NOT NULL;
CREATE INDEX events_about ON events (about) WHERE about <> '';
CREATE INDEX events_time_customer ON events (time, customer);
COMMIT;
