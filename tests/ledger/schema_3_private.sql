BEGIN TRANSACTION;
CREATE TABLE answers (
	id VARCHAR(64) NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	status INTEGER NOT NULL, 
	body BLOB NOT NULL, 
	expires BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "answers" VALUES('2ec4d566c6da7ae8660330ed021599227779387d0b8138ecdf23f5022d9f9399','cus_e5ee5d5d2cf91e1a',200,X'74686520616E73776572206F66204DC3BC6C6C6572',4000000000000000);
CREATE TABLE buyers (
	customer VARCHAR(40) NOT NULL, 
	body TEXT NOT NULL, 
	changed BIGINT NOT NULL, 
	PRIMARY KEY (customer)
);
CREATE TABLE facts (
	name VARCHAR(40) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('schema','3');
CREATE TABLE feedback (
	position INTEGER NOT NULL, 
	event VARCHAR(64) NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	item INTEGER, 
	value TEXT NOT NULL, 
	time BIGINT NOT NULL, 
	PRIMARY KEY (position)
);
INSERT INTO "feedback" VALUES(1,'e03','cus_e5ee5d5d2cf91e1a',NULL,'{"comment": "Herr Müller disagrees", "correct": false}',1795374959575635);
CREATE TABLE inputs (
	event VARCHAR(64) NOT NULL, 
	item INTEGER NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	payload TEXT NOT NULL, 
	output TEXT NOT NULL, 
	expires BIGINT NOT NULL, 
	PRIMARY KEY (event, item)
);
CREATE TABLE notes (
	event VARCHAR(64) NOT NULL, 
	customer VARCHAR(40) NOT NULL, 
	text TEXT NOT NULL, 
	time BIGINT NOT NULL, 
	PRIMARY KEY (event)
);
CREATE INDEX ix_private_answers_expires ON answers (expires);
CREATE INDEX ix_private_answers_customer ON answers (customer);
CREATE INDEX ix_private_feedback_customer ON feedback (customer);
CREATE INDEX ix_private_inputs_customer ON inputs (customer);
CREATE INDEX ix_private_inputs_expires ON inputs (expires);
CREATE INDEX ix_private_notes_customer ON notes (customer);
COMMIT;
