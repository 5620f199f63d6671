"""Every class of catalogue fault is refused, and the message says where it is, what is wrong and what to do."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.load import CATALOG, load
from schemas.model import CatalogError
from tests.conftest import SOAK

Plant = Callable[[Path], None]


def swap(file: str, old: str, new: str) -> Plant:
    def plant(root: Path) -> None:
        path = root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer says {old!r}; plant the fault another way"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return plant


def add(file: str, text: str) -> Plant:
    def plant(root: Path) -> None:
        path = root / file
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(before + text, encoding="utf-8")

    return plant


def field(file: str, lines: str) -> Plant:
    return add(file, f'\n[fields.extra]\nlabel_zh = "另一项"\nlabel_en = "Another"\n{lines}\n')


def every_row(file: str, beginning: str, new: str) -> Plant:
    def plant(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert f"\n{beginning}" in text
        (root / file).write_text(text.replace(f"\n{beginning}", f"\n{new}"), encoding="utf-8")

    return plant


def drop_line(file: str, beginning: str) -> Plant:
    def plant(root: Path) -> None:
        lines = (root / file).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(beginning)]
        assert len(kept) < len(lines), f"{file} has no line {beginning!r}"
        (root / file).write_text("".join(kept), encoding="utf-8")

    return plant


DEFAULTER, ROW_KEY = "items/judgment_defaulter.toml", 'field = "source_record_no"'
UNIQUE = '[[sender_key.unique]]\ndepartment = "high_court"\nvalid_from = 2020-01-01\nsource = "x"\n\n'
TRAFFIC, HONOUR, LOAN = "items/traffic_penalty.toml", "items/honour.toml", "items/student_loan_default.toml"
RESTORATION, IDENTITY = "items/restoration_event.toml", "items/identity_reference.toml"
PENALTY, COMMITMENT = "items/administrative_penalty.toml", "items/credit_commitment.toml"
TAX = "departments/tax_service.toml"
TAX_LIST, MARKET = "items/major_tax_violation.toml", "items/market_serious_violation.toml"
HEADERS, REGION = "headers/administrative_penalty.csv", "codes/region.csv"
SEX, SAYS_SEX = "codes/sex.csv", "codes/sex.variants.csv"
NATIONAL, FINDINGS = "policy/national.toml", "findings.csv"
AGAIN = '\n[[adult_age]]\nvalue = 19\nvalid_from = {0}\nsource = "x"\n'
AGE = "value = 18\nvalid_from = 1900-01-01"
CLOSED = swap(NATIONAL, AGE, AGE + "\nvalid_to = 2029-12-31")

WRONG_NO = (
    '[fields.wrong_decision_no]\nelement = "wrong_decision_no"\nlength = 16\nsensitivity = "internal"\n'
    'rules = [{ kind = "matches", pattern = "46[0-9]{13,14}", severity = "error" }]\n'
)
DOCUMENT = 'document = "decision_no"\n'
KEYLESS = [swap(TRAFFIC, WRONG_NO, ""), swap(TRAFFIC, DOCUMENT, "")]  # nothing tells of the field that is no key now

# name: (fault, file, key, cure)
FAULTS: dict[str, tuple[Plant | list[Plant], str, str, str]] = {
    "not TOML": (add(TRAFFIC, "\n[fields.\n"), TRAFFIC, "TOML", "Mend the line"),
    "not UTF-8": (
        lambda r: (r / TRAFFIC).write_bytes("名 = 1".encode("gb18030")) and None, TRAFFIC, "byte 0", "as UTF-8"),
    "fields are no tables": (add("items/loan.toml", "fields = 3\n"), "items/loan.toml", "fields", "[fields."),
    "file name and code differ": (
        swap(TRAFFIC, 'code = "traffic_penalty"', 'code = "traffic"'), TRAFFIC, "code", "Rename"),
    "department file and code differ": (swap(TAX, 'code = "tax_service"', 'code = "tax"'), TAX, "code", "Rename"),
    "unknown key of an item": (swap(TRAFFIC, "update_cycle =", "update_cicle ="), TRAFFIC, "update_cycle", "Add it"),
    "extra key of an item": (swap(TRAFFIC, "groups = []", "group = []"), TRAFFIC, "group", "Did you mean 'groups'?"),
    "unknown key of a field": (
        swap(TRAFFIC, "length = 100", "lenght = 100"), TRAFFIC, "subject_name.lenght", "'length'?"),
    "unknown key of a department": (swap(TAX, "contact =", "contakt ="), TAX, "contact", "Add it"),
    "wrong type of a value": (
        swap(TRAFFIC, "length = 100", 'length = "long"'), TRAFFIC, "subject_name.length", "Correct"),
    "unknown nature": (swap(TRAFFIC, 'nature = "adverse"', 'nature = "bad"'), TRAFFIC, "nature", "Correct the value"),
    "unknown severity": (
        swap(TRAFFIC, 'severity = "error"', 'severity = "fatal"'), TRAFFIC, "severity", "Correct the value"),
    "no legal basis": (drop_line(TRAFFIC, "legal_basis"), TRAFFIC, "legal_basis", "Add it"),
    "retention of no years": (
        swap(TRAFFIC, "retention_years = 5", "retention_years = 0"), TRAFFIC, "retention_years", "Correct"),
    "unknown rule kind": (
        swap(TRAFFIC, 'kind = "between"', 'kind = "betwen"'), TRAFFIC, "fine_cny.rules", "Did you mean 'between'?"),
    "unknown option": (
        swap(TRAFFIC, "high = 12", "hihg = 12"), TRAFFIC, "demerit_points.rules.between", "Did you mean 'high'?"),
    "missing option": (swap(TRAFFIC, ', contains = "02"', ""), TRAFFIC, "rules.amount_if_code", "Add it"),
    "low above high": (
        swap(TRAFFIC, "low = 0, high = 12", "low = 20, high = 12"), TRAFFIC, "demerit_points.rules.between", "Swap"),
    "bound is no number": (
        swap(TRAFFIC, "high = 12", 'high = "12"'), TRAFFIC, "demerit_points.rules.between", "Write a number"),
    "range without bounds": (
        swap(TRAFFIC, "low = 0, high = 12, ", ""), TRAFFIC, "demerit_points.rules.between", "at least one"),
    "bad pattern": (swap(TRAFFIC, "46[0-9]{13,14}", "46[0-9{13,14}"), TRAFFIC, "decision_no.rules.matches", "Mend"),
    "pattern that looks ahead": (
        swap(TRAFFIC, "46[0-9]{13,14}", "(?!47)[0-9]+"), TRAFFIC, "decision_no.rules.matches", "without"),
    "rule on the wrong type": (
        swap(TRAFFIC, 'rules = [{ kind = "between", low = 0, high = 12',
             'rules = [{ kind = "document_number" }, { kind = "between", low = 0, high = 12'),
        TRAFFIC, "demerit_points.rules.document_number", "Remove the rule"),
    "rule on a field that is not there": (
        swap(TRAFFIC, 'other = "violation_date"', 'other = "violation_day"'),
        TRAFFIC, "rules.not_before.other", "Did you mean 'violation_date'?"),
    "dates compared with a text": (
        swap(TRAFFIC, 'other = "violation_date"', 'other = "violation_fact"'),
        TRAFFIC, "rules.not_before.other", "correct the type"),
    "condition that never holds": (
        swap(COMMITMENT, 'equals = "broken"', 'equals = "brocken"'),
        COMMITMENT, "rules.required_if.equals", "Use a code"),
    "word that is no code": (
        swap(TRAFFIC, 'contains = "02"', 'contains = "20"'), TRAFFIC, "rules.amount_if_code.contains", "Use a code"),
    "word that is a pattern": (
        swap(PENALTY, 'contains = "罚款"', 'contains = "^罚款$"'), PENALTY, "rules.amount_if_code", "the word alone"),
    "rule without a finding code": (
        swap(TRAFFIC, '{ kind = "matches", pattern = "46', '{ kind = "matches", code = "V999", pattern = "46'),
        FINDINGS, "V999", "Add a row"),
    "engine's own code without a sentence": (drop_line(FINDINGS, "L001"), FINDINGS, "L001", "Add a row"),
    "finding code of no family": (swap(FINDINGS, "V012,", "W012,"), FINDINGS, "code", "Correct the value"),
    "unknown code set": (
        swap(TRAFFIC, 'code_set = "plate_kind"', 'code_set = "plate_kinds"'),
        TRAFFIC, "plate_kind.code_set", "'plate_kind'?"),
    "code without code set": (
        swap(TRAFFIC, 'code_set = "plate_kind"\n', ""), TRAFFIC, "plate_kind.code_set", "Name a file"),
    "text with code set": (
        field(HONOUR, 'type = "text"\nlength = 9\ncode_set = "sex"'), HONOUR, "extra.code_set", "Remove it"),
    "role with a foreign code set": (
        swap(HONOUR, 'code_set = "certificate_type"', 'code_set = "sex"'),
        HONOUR, "certificate_type.code_set", "Say code_set"),
    "decimal without scale": (field(HONOUR, 'type = "decimal"\nunit = "CNY"'), HONOUR, "extra.scale", "Add scale"),
    "quantity without unit": (field(HONOUR, 'type = "integer"'), HONOUR, "extra.unit", "Add unit"),
    "text without length": (field(HONOUR, 'type = "text"'), HONOUR, "extra.length", "Add length"),
    "date with length": (field(HONOUR, 'type = "date"\nlength = 8'), HONOUR, "extra.length", "Remove it"),
    "field declared twice": (add(HONOUR, '\n[fields.honour_name]\nlabel_zh = "x"\n'), HONOUR, "TOML", "Mend the line"),
    "two numbers": (
        field(HONOUR,
             'type = "text"\nlength = 64\nrole = "credit_number"\nrequired = true\nsensitivity = "identifying"'),
        HONOUR, "fields", "exactly one"),
    "number that may be missing": (
        swap(HONOUR, 'length = 64\nrequired = true', "length = 64"), HONOUR, "credit_number.required", "Say required"),
    "name that is not identifying": (
        swap(HONOUR, 'sensitivity = "identifying"', 'sensitivity = "personal"'),
        HONOUR, "subject_name.sensitivity", "'identifying'"),
    "contract number in the open": (
        swap(LOAN, 'length = 64\nrequired = true\nsensitivity = "identifying"\naliases = ["合同号"',
             'length = 64\nrequired = true\nsensitivity = "internal"\naliases = ["合同号"'),
        LOAN, "contract_no.sensitivity", "'identifying'"),
    "plate in the open": (
        swap(TRAFFIC, 'length = 15\nsensitivity = "identifying"', "length = 15"),
        TRAFFIC, "plate_number.sensitivity", "'identifying'"),
    "column code of a number in the open": (
        swap(HEADERS, "*,CF_FR,legal_representative", "*,经营者,source_unit"),
        PENALTY, "source_unit.sensitivity", "'identifying'"),
    "fingerprints": (
        field(HONOUR, 'type = "text"\nlength = 9\naliases = ["指纹编码"]'), HONOUR, "extra.aliases", "Remove it"),
    "free text that is public": (
        field(HONOUR, 'type = "text"\nlength = 9\nis_free_text = true\nsensitivity = "public"'),
        HONOUR, "extra.sensitivity", "'personal'"),
    "free text that is identifying": (
        field(HONOUR, 'type = "text"\nlength = 9\nis_free_text = true\nsensitivity = "identifying"'),
        HONOUR, "extra.is_free_text", "Remove"),
    "free date": (field(HONOUR, 'type = "date"\nis_free_text = true'), HONOUR, "extra.is_free_text", "Remove"),
    "key names no field": (
        swap(TRAFFIC, '["decision_no"]', '["decision_nr"]'), TRAFFIC, "business_key", "correct the name"),
    "key that identifies": (
        swap(TRAFFIC, '["decision_no"]', '["plate_number"]'), TRAFFIC, "business_key", "Leave it out"),
    "key that may be empty": (
        [swap(TRAFFIC, '["decision_no"]', '["fine_cny"]'), *KEYLESS], TRAFFIC, "business_key", "required"),
    "key of free text": (
        [swap(TRAFFIC, '["decision_no"]', '["violation_fact"]'), *KEYLESS], TRAFFIC, "business_key", "one way"),
    "document of no key": (
        swap(TRAFFIC, DOCUMENT, 'document = "fine_cny"\n'), TRAFFIC, "document", "Name one"),
    "row key that is no field": (
        swap(DEFAULTER, ROW_KEY, 'field = "source_no"'), DEFAULTER, "sender_key.field", "'source_no'"),
    "row key that is the business key": (
        swap(DEFAULTER, ROW_KEY, 'field = "case_no"'), DEFAULTER, "sender_key.field", "business key"),
    "row key that is a day": (
        swap(DEFAULTER, ROW_KEY, 'field = "publication_date"'), DEFAULTER, "sender_key.field", "no word or number"),
    "row keys of nobody who delivers": (
        swap(DEFAULTER, 'department = "high_court"', 'department = "haikou"'), DEFAULTER,
        "sender_key.unique.0.department", "'haikou'"),
    "row keys that are unique twice": (
        swap(DEFAULTER, "[[sender_key.unique]]", UNIQUE + "[[sender_key.unique]]"), DEFAULTER, "sender_key.unique.1",
        "twice for one day"),
    "row keys since no day": (
        swap(DEFAULTER, "valid_from = 2017-05-01\nsource", "source"), DEFAULTER, "valid_from", "Add it"),
    "effect that no output knows": (
        swap(RESTORATION, 'name = "restored"', 'name = "restord"'), RESTORATION, "effects.0.name", "'restored'"),
    "effect while a code that is none": (
        swap(RESTORATION, '["granted", "ended"]', '["grantd"]'), RESTORATION, "when.restoration_state", "'granted'"),
    "effect since no date": (
        swap(RESTORATION, 'since = ["publicity_end_date", "decision_date"]', 'since = ["decision_no"]'), RESTORATION,
        "effects.0.since", "type 'date'"),
    "effect that every record meets": (
        swap(TAX_LIST, ', since = ["removal_date"] }]', " }]"), TAX_LIST, "effects.0.when", "every record"),
    "listing that rests on no item": (
        swap(MARKET, 'rests_on = { item = "administrative_penalty"', 'rests_on = { item = "administrative_penalti"'),
        MARKET, "rests_on.item", "Did you mean 'administrative_penalty'"),
    "listing that rests on records without a number": (
        swap(MARKET, 'rests_on = { item = "administrative_penalty"', 'rests_on = { item = "tax_arrears"'),
        MARKET, "rests_on.item", "Name another item"),
    "listing that rests on a code": (
        swap(MARKET, 'document = "penalty_decision_no"', 'document = "list_state"'), MARKET, "rests_on.document",
        "type 'text'"),
    "deadline of no policy": (
        swap(RESTORATION, 'limit = "restoration_decision', 'limit = "restoration_decison'), RESTORATION,
        "deadlines.0.limit", "'restoration_decision_working_days'"),
    "deadline that no day ends": (
        swap(RESTORATION, 'done = ["decision_date"]', 'done = ["decision_no"]'), RESTORATION,
        "deadlines.0.done", "type 'date'"),
    "state that is none": (
        swap(RESTORATION, 'granted = ["ended"]', 'granted = ["endd"]'), RESTORATION, "states.0.next.granted",
        "Did you mean 'ended'"),
    "state that nothing is said of": (
        swap(RESTORATION, ', refused = [], ended = []', ', ended = []'), RESTORATION, "states.0.next", "'refused'"),
    "state that follows itself": (
        swap(RESTORATION, 'granted = ["ended"]', 'granted = ["granted"]'), RESTORATION, "states.0.next.granted",
        "no change"),
    "states of a field without codes": (
        swap(RESTORATION, 'field = "restoration_state", next', 'field = "decision_no", next'), RESTORATION,
        "states.0.field", "type 'code'"),
    "register that no policy names": (
        swap("policy/subjects.toml", "{ identity_reference", "{ honour"), IDENTITY, "registers", "police alone"),
    "register that events may be about": (
        swap(HONOUR, "history_in_warehouse", 'registers = { number = "document_name", since = "determination_date" }\n'
             "history_in_warehouse"), HONOUR, "registers", "no document"),
    "register of a sender that no policy names": (
        swap(IDENTITY, '["public_security"]', '["public_security", "civil_affairs"]'), IDENTITY, "registers",
        "'civil_affairs'"),
    "register whose number is no secret": (
        swap(IDENTITY, 'number = "replaced_number"', 'number = "issuing_organ"'), IDENTITY, "registers.number",
        "Mend sensitivity"),
    "register that begins on no day": (
        swap(IDENTITY, 'since = "reference_date"', 'since = "reference_type"'), IDENTITY, "registers.since",
        "type 'date'"),
    "register whose certificate type is something else": (
        swap(IDENTITY, 'certificate_type = "replaced_certificate_type"', 'certificate_type = "sex"'), IDENTITY,
        "registers.certificate_type", "certificate_type'"),
    "wrong value of no key": (
        swap(TRAFFIC, '["decision_no"]', '["fine_cny"]'), TRAFFIC, "wrong_decision_no.replaces", "Name one"),
    "wrong value of another type": (
        add(TRAFFIC, 'type = "integer"\n'), TRAFFIC, "wrong_decision_no.replaces", "Declare both alike"),
    "wrong number in the open": (
        swap(TRAFFIC, 'element = "wrong_credit_number"', 'element = "wrong_credit_number"\nsensitivity = "internal"'),
        TRAFFIC, "wrong_credit_number.replaces", "Mend sensitivity"),
    "two wrong values of one field": (
        add(TRAFFIC, '[fields.other_no]\nelement = "wrong_decision_no"\nlabel_zh = "另一文书号"\naliases = []\n'),
        TRAFFIC, "wrong_decision_no.replaces", "Remove one"),
    "unknown event date": (
        swap(TRAFFIC, 'event_date = "decision_date"', 'event_date = "day"'), TRAFFIC, "event_date", "Add the field"),
    "event date that is no date": (
        swap(TRAFFIC, 'event_date = "decision_date"', 'event_date = "updated_at"'),
        TRAFFIC, "event_date", "Name a date"),
    "event date that may be empty": (
        swap(COMMITMENT, 'event_date = "signing_date"', 'event_date = "breach_date"'),
        COMMITMENT, "event_date", "required"),
    "source time that is no time": (
        swap(TRAFFIC, 'source_time = "updated_at"', 'source_time = "decision_date"'),
        TRAFFIC, "source_time", "'timestamp'"),
    "bad domain": (swap(TRAFFIC, 'domain = "traffic_safety"', 'domain = "roads"'), TRAFFIC, "domain", "Use a code"),
    "unknown group": (swap(TRAFFIC, "groups = []", 'groups = ["77"]'), TRAFFIC, "groups", "Use a code"),
    "item ends before it begins": (
        swap(TRAFFIC, "valid_from = 2017-06-16", "valid_from = 2017-06-16\nvalid_to = 2016-01-01"),
        TRAFFIC, "valid_to", "Correct"),
    "provider without department": (
        swap(TRAFFIC, '["public_security"]', '["public_security", "zzz"]'),
        TRAFFIC, "providers", "Add catalog/departments/zzz.toml"),
    "provider twice": (
        swap(TRAFFIC, '["public_security"]', '["public_security", "public_security"]'),
        TRAFFIC, "providers", "Keep it once"),
    "provider misspelt": (
        swap(TRAFFIC, '["public_security"]', '["public_securty"]'), TRAFFIC, "providers", "Did you mean"),
    "department in no region": (swap(TAX, '"460000"', '"469003"'), TAX, "region_code", "Use a code"),
    "secret in a place": (
        add(TAX, '[inbox]\nurl = "sftp://tax:secret@files.example/in"\ncredentials = "tax"\n'),
        TAX, "inbox.url", "name 'credentials'"),
    "place within another department's": (
        [add("departments/high_court.toml", '[outbox]\nurl = "file:///srv/exchange"\n'),
         add(TAX, '[inbox]\nurl = "file:///srv/exchange/tax"\n')],
        TAX, "inbox.url", "Give each a folder of its own"),
    "format of an item that is not there": (
        add(TAX, '[formats.tax_arears]\ndelimiter = ";"\n'), TAX, "formats.tax_arears", "'tax_arrears'?"),
    "delimiter that nobody reads": (
        add(TAX, '[formats."*"]\ndelimiter = "#"\n'), TAX, "formats.*.delimiter", "not '#'"),
    "successor that is not there": (add(TAX, 'successor = "tax_office"\n'), TAX, "successor", "'tax_service'?"),
    "two fields of one label": (
        swap(TRAFFIC, 'label_zh = "号牌种类"', 'label_zh = "违法地点"'),
        TRAFFIC, "plate_kind.label_zh", "another label"),
    "alias twice": (
        swap(TRAFFIC, '"违法地址", ', '"违法地址", "违法 地址", '), TRAFFIC, "violation_place.aliases", "Keep it once"),
    "alias of two fields": (
        swap(TRAFFIC, '"违法地址", ', '"违法地址", "记分", '), TRAFFIC, "demerit_points.aliases", "one of the two"),
    "alias that is another's label": (
        swap(TRAFFIC, '"违法地址", ', '"违法地址", "违法事实", '),
        TRAFFIC, "violation_place.aliases", "one of the two"),
    "header map of no item": (
        add("headers/traffic.csv", "department,header,field\n"), "headers/traffic.csv", "file name", "traffic_penalty"),
    "header map with an unknown field": (
        add(HEADERS, "*,CF_X,decision_nr\n"), HEADERS, "*,CF_X", "Did you mean 'decision_no'?"),
    "header map with an unknown department": (
        add(HEADERS, "tourism_culture,文号,decision_no\n"), HEADERS, "tourism_culture,文号", "Write *"),
    "header mapped twice": (add(HEADERS, "*,cf_wsh,case_name\n"), HEADERS, "*,cf_wsh", "Keep one row"),
    "header against the item's alias": (add(HEADERS, "*,文书号,case_name\n"), HEADERS, "*,文书号", "or the alias"),
    "header row with a cell too many": (
        add(HEADERS, "*,CF_X,decision_no,1\n"), HEADERS, "line ", "quotes around commas"),
    "code valid twice on one day": (
        swap(REGION, "469025,定安县,2003-01-01,2006-12-31", "469025,定安县,2003-01-01,2007-06-30"),
        REGION, "469025", "End the older row"),
    "code that ends before it begins": (
        swap(REGION, "469025,定安县,2003-01-01,2006-12-31", "469025,定安县,2003-01-01,2001-12-31"),
        REGION, "469025", "Correct one"),
    "code without source": (add(SEX, "3,x,,,\n"), SEX, "source", "Correct the value"),
    "code with a bad date": (add(SEX, "3,x,2001-13-01,,y\n"), SEX, "valid_from", "Correct the value"),
    "two codes of one label": (add(SEX, "3,男,,,y\n"), SEX, "3", "Tell the labels apart"),
    "variant of no code": (add(SAYS_SEX, "汉子,7,y\n"), SAYS_SEX, "汉子", "Add it or correct"),
    "variant with two meanings": (add(SAYS_SEX, "男性,2,y\n"), SAYS_SEX, "男性", "Keep one meaning"),
    "variant of no department": (
        swap("codes/subject_type.variants.csv", "580,natural_person,court partytypename,high_court",
             "580,natural_person,court partytypename,hihg_court"),
        "codes/subject_type.variants.csv", "580", "Did you mean 'high_court'?"),
    "department's variant without a code": (
        swap("codes/subject_type.variants.csv", "580,natural_person,court", "580,person,court"),
        "codes/subject_type.variants.csv", "580", "Did you mean"),
    "department's variant twice": (
        add("codes/subject_type.variants.csv", "580,organisation,x,high_court\n"),
        "codes/subject_type.variants.csv", "580", "Keep one meaning"),
    "variant that is a code": (add(SAYS_SEX, "2,1,y\n"), SAYS_SEX, "2", "Remove the variant"),
    "variant that is another's label": (add(SAYS_SEX, "女,1,y\n"), SAYS_SEX, "女", "Remove the variant"),
    "variants of no code set": (
        add("codes/gender.variants.csv", "value,code,source\n"), "codes/gender.variants.csv", "file name", "rename"),
    "rules on the credit number": (
        swap(TRAFFIC, 'role = "credit_number"', 'role = "credit_number"\nrules = [{ kind = "not_placeholder" }]'),
        TRAFFIC, "fields.credit_number.rules", "Remove them"),
    "two editions at once": (
        swap(PENALTY, "valid_to = 2018-07-24, source", "valid_to = 2018-07-25, source"),
        PENALTY, "editions.2016", "End it the day before 2018"),
    "edition without an end": (
        swap(PENALTY, ", valid_to = 2018-07-24, source", ", source"), PENALTY, "editions.2016", "End it the day"),
    "gap between editions": (
        swap(PENALTY, 'code = "2018", valid_from = 2018-07-25', 'code = "2018", valid_from = 2018-08-01'),
        PENALTY, "editions.2018", "Let it begin on 2018-07-25"),
    "editions that begin after the item": (
        swap(PENALTY, "\nvalid_from = 2016-01-01", "\nvalid_from = 2015-01-01"), PENALTY, "editions", "Begin on 2015"),
    "editions that end before the item": (
        swap(PENALTY, "valid_from = 2025-01-01, source", "valid_from = 2025-01-01, valid_to = 2099-01-01, source"),
        PENALTY, "editions", "same valid_to"),
    "two editions of one code": (
        swap(PENALTY, 'code = "2025"', 'code = "2018"'), PENALTY, "editions.2018", "Rename one"),
    "key that not every edition has": (
        swap(PENALTY, "[fields.decision_no]\n", "[fields.decision_no]\nvalid_from = 2018-07-25\n"),
        PENALTY, "fields.decision_no", "Remove its dates"),
    "rule that ends before it begins": (
        swap(TRAFFIC, 'rules = [{ kind = "not_after_as_of"',
             'rules = [{ valid_from = 2020-01-02, valid_to = 2020-01-01, kind = "not_after_as_of"'),
        TRAFFIC, "rules.not_after_as_of.valid_to", "Correct one"),
    "former name that is another's name": (
        swap(TRAFFIC, "[fields.is_paid]\n", '[fields.is_paid]\nformerly = ["plate_kind"]\n'),
        TRAFFIC, "fields.", "Name it once"),
    "header of no edition": (
        [swap(HEADERS, "department,header,field", "department,edition,header,field"), every_row(HEADERS, "*,", "*,*,"),
         every_row(HEADERS, "haikou,", "haikou,*,"), every_row(HEADERS, "danzhou,", "danzhou,2019,")],
        HEADERS, "danzhou", "no edition of the item"),
    "a field called as a column of every item": (
        add(HONOUR, '\n[fields.marks]\nlabel_zh = "标记"\nlabel_en = "Marks"\ntype = "text"\nlength = 10\n'),
        HONOUR, "fields.marks", "'marks' is a column of every item. Give it another name.",
    ),
    "unknown data element": (
        field(HONOUR, 'element = "regoin"'), HONOUR, "fields.extra.element", "Did you mean 'region'?"),
    "faulty data element": (
        swap("elements.toml", 'scale = 2\n', ""), "elements.toml", "amount_cny.scale", "Add scale"),
    "category that is none": (swap(HONOUR, 'category = "11"', 'category = "14"'), HONOUR, "category", "Use a code"),
    "supervision target that is none": (
        swap(TRAFFIC, 'supervision_targets = ["04"]', 'supervision_targets = ["6"]'),
        TRAFFIC, "supervision_targets", "Use a code"),
    "policy without source": (drop_line(NATIONAL, "source"), NATIONAL, "source", "has a source"),
    "policy without a date": (drop_line(NATIONAL, "valid_from"), NATIONAL, "valid_from", "Add it"),
    "policy with a quoted date": (
        swap(NATIONAL, "valid_from = 1900-01-01", 'valid_from = "1900-01-01"'), NATIONAL, "valid_from", "unquoted"),
    "policy with an unknown key": (
        swap(NATIONAL, "value = 18", "value = 18\nunit = 1"), NATIONAL, "adult_age.unit", "Remove it"),
    "policy that is not dated": (add("policy/other.toml", "limit = 3\n"), "policy/other.toml", "limit", "[[limit]]"),
    "policy in two files": (
        add("policy/other.toml", AGAIN.format("2030-01-01")), "policy/other.toml", "adult_age", "one file"),
    "two policies in force": (
        add(NATIONAL, AGAIN.format("2030-01-01")), NATIONAL, "adult_age", "Give the older one a valid_to"),
    "gap in a policy": (
        [CLOSED, add(NATIONAL, AGAIN.format("2030-02-01"))], NATIONAL, "adult_age", "begin on 2030-01-01"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS)[:: 1 if SOAK else 2])  # every one loads the whole catalogue
def test_a_planted_fault_is_refused_with_file_key_and_cure(name: str, tmp_path: Path) -> None:
    plants, file, key, cure = FAULTS[name]
    root = tmp_path / "catalog"
    shutil.copytree(CATALOG, root)
    for plant in plants if isinstance(plants, list) else [plants]:
        plant(root)
    with pytest.raises(CatalogError) as refused:
        load(root)
    told = re.fullmatch(r"catalog/(\S+) \[([^\]]+)\]: (.+)", str(refused.value))
    assert told, str(refused.value)
    assert told[1] == file, str(refused.value)
    assert key in told[2], str(refused.value)
    assert cure in told[3], str(refused.value)


def test_policies_that_follow_each_other_are_no_fault(tmp_path: Path) -> None:
    root = tmp_path / "catalog"
    shutil.copytree(CATALOG, root)
    CLOSED(root)
    add(NATIONAL, AGAIN.format("2030-01-01"))(root)
    assert load(root).policy["national"]["adult_age"][1]["value"] == 19
