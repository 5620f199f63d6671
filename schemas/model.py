"""The catalogue as frozen, validated models. One model per kind of declaration; nothing here reads files.

Shapes follow the metadata that provincial credit regulations ask of a catalogue row (data code, name, format,
provider, subject type, nature, sharing attribute, coverage, update cycle, fields).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Nature = Literal["basic", "good", "adverse", "other"]
Sharing = Literal["unconditional", "conditional", "none"]  # the widest first
Cycle = Literal["realtime", "daily", "weekly", "monthly", "quarterly", "half_yearly", "yearly", "irregular"]
Publicity = Literal["public", "on_request", "authorised", "government", "none"]  # the widest first


class CatalogError(Exception):
    """The catalogue is wrong; message: *file [key]: what is wrong. What to do.*"""

    exit_code = 2


class Fault(ValueError):
    """A fault of a declaration that concerns more than one of its keys; `key` is the one to look at."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dated(Model):
    """What holds for a period: from its first to its last day, both included; without a date, always."""

    valid_from: date | None = None
    valid_to: date | None = None

    def holds(self, on: date) -> bool:
        return (self.valid_from or date.min) <= on <= (self.valid_to or date.max)

    def meets(self, other: Dated) -> bool:
        """Whether both hold on some day."""
        first = max(self.valid_from or date.min, other.valid_from or date.min)
        return first <= min(self.valid_to or date.max, other.valid_to or date.max)


class Rule(Dated):
    """One rule as declared; `kind` names a module of `schemas.kinds`, `options` are that kind's own words."""

    kind: str
    severity: Literal["error", "hold", "warning", "info"] = "error"
    code: str | None = None
    options: dict[str, Any] = {}

    @property
    def mentioned(self) -> tuple[str, ...]:
        """The fields that the rule of an item names."""
        return tuple(str(self.options[k]) for k in ("field", "other", "when") if k in self.options)

    @model_validator(mode="before")
    @classmethod
    def gather_options(cls, data: Any) -> Any:
        if isinstance(data, dict) and "options" not in data:
            own = {"kind", "severity", "code", "valid_from", "valid_to"}
            return {k: v for k, v in data.items() if k in own} | {
                "options": {k: v for k, v in data.items() if k not in own}
            }
        return data


class FieldSpec(Dated):
    """One field of an item. `type` decides the Arrow, SQL and warehouse type; `unit` is part of the meaning.

    `purpose` says what a person's attribute is collected for where no rule and no key shows it. A field out of its
    dates keeps its column, and deliveries of other periods are read as if it were not there. `formerly` are the names
    it had before, the first one first. `counties` are those whose overlay adds the field; nobody else's is read for it.
    `is_open_ended` marks the end of a term that may be for good: 长期 and the like are read as schemas.types.OPEN_END.
    `replaces` names the field of the key, or the number, of which this one holds the wrong value that was sent before.
    """

    name: Name
    label_zh: str
    label_en: str
    type: Literal["text", "code", "date", "timestamp", "integer", "decimal", "boolean"]
    role: Literal["credit_number", "certificate_type", "name", "action", "remarks", "attribute"] = "attribute"
    unit: str | None = None
    length: int | None = None
    scale: int | None = None
    required: bool = False
    code_set: Name | None = None
    sensitivity: Literal["identifying", "personal", "internal", "public"] = "internal"
    is_free_text: bool = False
    is_open_ended: bool = False
    replaces: Name | None = None
    purpose: str | None = None
    aliases: tuple[str, ...] = ()
    formerly: tuple[Name, ...] = ()
    counties: tuple[Name, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def first_name(self) -> str:
        """The name it was declared under at first."""
        return self.formerly[0] if self.formerly else self.name

    @property
    def is_always_required(self) -> bool:
        """Whether no record may lack it, whatever the edition its delivery was judged by."""
        return self.required and self.valid_from is None and self.valid_to is None

    @model_validator(mode="after")
    def agree(self) -> FieldSpec:
        if self.type == "code" and self.code_set is None:
            raise Fault("code_set", "a field of type 'code' needs a code set. Name a file of catalog/codes.")
        if self.type != "code" and self.code_set is not None:
            raise Fault("code_set", f"a field of type '{self.type}' has no code set. Remove it, or say type = 'code'.")
        if self.type == "decimal" and self.scale is None:
            raise Fault("scale", "a decimal field states its digits after the point. Add scale.")
        if self.role in ("credit_number", "name") and self.sensitivity != "identifying":
            raise Fault("sensitivity", "a number or name identifies a person. Say sensitivity = 'identifying'.")
        return self


class Edition(Dated):
    """The layout of an item that is in force for a period; `source` is the document that ordered it."""

    code: str = Field(pattern=r"^[a-z0-9_]+$", max_length=24)
    valid_from: date
    source: str = Field(min_length=1)


class Reference(Model):
    """The fields by which an event tells the record it is about, beside its person: `item` holds the code of an item,
    `document` the number of the document. With `is_own` a department's events reach no record but its own."""

    item: Name
    document: Name
    is_own: bool = False


class Basis(Model):
    """The record that a listing rests on: one of `item` about the same person, whose document number the field
    `document` tells. It is kept at least as long as the listing lasts."""

    item: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    document: Name


class Effect(Model):
    """What an event does to the record it is about, or a record of any other item to itself, while it meets `when`
    (field -> the values it may have there).

    `ends`: the record is shared no more. `marks`: it goes on with this mark. Either begins on the day of the first of
    the fields `since` that is said; what a record says of itself holds from its own time where none is, and ends it
    without `when` once such a day is said. A mark goes on the day of the field `until` or, where it is
    `until_restated`, once the record shows a statement made later than it began. `name` is a code of
    `catalog/codes/record_effect.csv`.
    """

    name: Name
    does: Literal["ends", "marks"]
    when: dict[Name, tuple[str, ...]] = {}
    since: tuple[Name, ...] = ()
    until: Name | None = None
    until_restated: bool = False

    @model_validator(mode="after")
    def agree(self) -> Effect:
        if self.does == "ends" and (self.until or self.until_restated):
            raise Fault("until", "what ends a record does so for good; it shows again when the event goes. Remove it.")
        return self


class Registry(Model):
    """What makes an item the register of who its subjects are. Its rows tell, by these fields, another `number` of
    their subject and of which `certificate_type` that is (the row's own where none is said), the day `since` when that
    is so, a `former_name`, and whether the register has `verified` the subject. Only numbers told so are one person's
    (schemas/persons.py)."""

    number: Name
    since: Name
    certificate_type: Name | None = None
    former_name: Name | None = None
    verified: Name | None = None


class Unique(Dated):
    """From which period on `department` never gives one of its own row keys to another record; `source` says who said
    so."""

    department: Name
    valid_from: date
    source: str = Field(min_length=1)


class SenderKey(Model):
    """The field in which a sender tells by what it knows a row in its own system. Where it is `unique` to a record, a
    later row under the same key about another person, or with another business key, is the same record corrected: what
    its department said under the wrong key ends (schemas/fold.py). Nothing follows from the keys of other departments,
    which may begin anew every year."""

    field: Name
    unique: tuple[Unique, ...] = Field(min_length=1)


class Deadline(Model):
    """By when whoever handles an event has to do something: so many days (policy `limit`) after the day of the field
    `since`; it is done once one of the fields `done` tells a day. `counts` says which days count: those of a time in
    calendar days end on a working day. `zh` and `en` say what."""

    zh: str
    en: str
    since: Name
    done: tuple[Name, ...] = Field(min_length=1)
    limit: Name
    counts: Literal["working_days", "days"] = "working_days"


class States(Model):
    """The states that a case goes through, codes of the field `field`: each with those that may be said next; what may
    be left out between two is named, too. The same again is no change, and a case may begin with any. What goes another
    way is told and taken all the same (D009, schemas/states.py)."""

    field: Name
    next: dict[str, tuple[str, ...]] = Field(min_length=1)


class Item(Dated):
    """One kind of information: what a department delivers and what a record of it is.

    `category` is that of the national basic catalogue of public credit information; `domain`, `groups`,
    `real_name_domains` and `supervision_targets` are those of the plan. All are codes of `catalog/codes`.
    `one_subject`: a decision of a department, known by the business key, stands for one subject.
    `sender_key` is the row key of those senders who keep one for good.
    `document` is the field of the key by which events tell a record, where it is not the first document number of it.
    `refers` and `effects` are those of an item of events: which record each is about, and what comes of it.
    `rests_on` is, of a list of serious cases, the record that was the reason for an entry.
    `states` are those of the case that a record tells of, of one field or of several.
    `acted_on` are the fields that tell the day of the act behind the event, the first that is said: whether somebody
    was of age is asked of either day.
    `registers` says that it is the register of who its subjects are, which policy has to name.
    `reporting_limit` is the policy that says how many working days after its event a row is to be here.
    `fields` are those of all editions, since they share one table; `schemas.editions` tells which are in force.
    `to_confirm` lists what stands here on general knowledge and waits for a person with the documents.
    """

    code: Name
    name_zh: str
    name_en: str
    providers: tuple[Name, ...] = Field(min_length=1, description="departments, greatest precedence first")
    nature: Nature
    category: str
    domain: Name
    groups: tuple[str, ...] = ()
    real_name_domains: tuple[str, ...] = ()
    supervision_targets: tuple[str, ...] = ()
    legal_basis: tuple[str, ...] = Field(min_length=1)
    sharing: Sharing
    publicity: Publicity
    update_cycle: Cycle
    retention_years: int = Field(gt=0)
    retention_source: str
    reporting_limit: Name | None = None
    to_confirm: tuple[str, ...] = ()
    subject_types: tuple[Literal["natural_person", "sole_trader", "organisation"], ...]
    business_key: tuple[Name, ...] = Field(min_length=1)
    one_subject: bool = False
    sender_key: SenderKey | None = None
    document: Name | None = None
    refers: Reference | None = None
    rests_on: Basis | None = None
    registers: Registry | None = None
    effects: tuple[Effect, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    states: tuple[States, ...] = ()
    event_date: Name | None = None
    acted_on: tuple[Name, ...] = ()
    source_time: Name | None = None
    history_in_warehouse: bool = False
    valid_from: date
    editions: tuple[Edition, ...] = ()
    fields: tuple[FieldSpec, ...]
    rules: tuple[Rule, ...] = ()
    _dormant: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="after")
    def refer(self) -> Item:
        names = [f.name for f in self.fields]
        if twice := {n for n in names if names.count(n) > 1}:
            raise Fault(f"fields.{min(twice)}", "two fields share this name. Rename one of them.")
        for key in ("event_date", "source_time"):
            if getattr(self, key) is not None and getattr(self, key) not in names:
                raise Fault(key, f"'{getattr(self, key)}' is no field of the item. Add the field or correct the name.")
        for name in self.acted_on:
            if name not in names:
                raise Fault("acted_on", f"'{name}' is no field of the item. Add the field or correct the name.")
        for name in self.business_key:
            if name not in names:
                raise Fault("business_key", f"'{name}' is no field of the item. Add the field or correct the name.")
            if self.field(name).sensitivity == "identifying":
                raise Fault(
                    "business_key",
                    f"'{name}' is identifying. Leave it out: the subject is part of every key already.",
                )
        for f in self.replacing_fields:
            self._agree_on_replaced(f)
        if self.sender_key is not None:
            self._agree_on_sender_key(self.sender_key.field)
        self._agree_on_effects()
        if self.registers is not None:
            self._agree_on_registry(self.registers)
        for role in ("credit_number", "certificate_type", "name"):
            if (count := sum(f.role == role for f in self.fields)) != 1:
                raise Fault("fields", f"{count} fields have role = '{role}'. Give it to exactly one.")
        return self

    def _agree_on_replaced(self, field: FieldSpec) -> None:
        key = f"fields.{field.name}.replaces"
        of = next((f for f in self.fields if f.name == field.replaces), None)
        if of is None or (of.role != "credit_number" and of.name not in self.business_key):
            raise Fault(key, "only a field of the business key or the number tells records apart. Name one of them.")
        if field.type != of.type or field.code_set != of.code_set:
            raise Fault(key, f"'{of.name}' is of another type. Declare both alike.")
        if (of.role == "credit_number") != (field.sensitivity == "identifying"):
            raise Fault(key, "a wrong number identifies somebody, too; nothing else in a key may. Mend sensitivity.")
        if any(f is not field and f.replaces == field.replaces for f in self.fields):
            raise Fault(key, f"another field replaces '{of.name}' already. Remove one of them.")

    def _agree_on_sender_key(self, name: str) -> None:
        key, of = "sender_key.field", next((f for f in self.fields if f.name == name), None)
        if of is None or of.role != "attribute" or of.replaces or of.sensitivity == "identifying":
            raise Fault(key, f"'{name}' is no attribute of the item that is curated. Correct the name.")
        if of.type not in ("text", "integer") or of.is_free_text:
            raise Fault(key, f"'{name}' is no word or number that is written in one way. Name another field.")
        if name in self.business_key:
            raise Fault(key, f"'{name}' is part of the business key, so another one is another record. Remove it.")

    def _is_text(self, name: str) -> bool:
        return self.field(name).type == "text"

    def _agree_on_effects(self) -> None:
        asked = []
        if self.document is not None and (self.document not in self.business_key or not self._is_text(self.document)):
            raise Fault("document", f"'{self.document}' is no text of the business key. Name one, or remove it.")
        if self.refers is not None:
            asked += [("refers.item", self.refers.item, "text"), ("refers.document", self.refers.document, "text")]
            if self.rests_on is not None:
                raise Fault("rests_on", "an event is about a record and rests on none. Remove it.")
            if not self.effects:
                raise Fault("effects", "an event that does nothing to what it refers to is none. Add its effects.")
        if self.rests_on is not None:
            asked += [("rests_on.document", self.rests_on.document, "text")]
        for n, effect in enumerate(self.effects):
            if self.refers is not None and not effect.since:
                raise Fault(f"effects.{n}.since", "nobody knows when it begins. Name the fields that tell the day.")
            if self.refers is None and not effect.when and (effect.does == "marks" or not effect.since):
                raise Fault(f"effects.{n}.when", "every record would meet it. Name a field and its values.")
            if self.refers is None and (effect.until or effect.until_restated):
                raise Fault(f"effects.{n}.until", "a record's own mark goes when its state does. Remove it.")
            asked += [(f"effects.{n}.since", name, "date") for name in effect.since]
            asked += [(f"effects.{n}.until", effect.until, "date")] if effect.until else []
            asked += [(f"effects.{n}.when", name, "") for name in effect.when]
        for n, deadline in enumerate(self.deadlines):
            asked += [(f"deadlines.{n}.since", deadline.since, "date")]
            asked += [(f"deadlines.{n}.done", name, "date") for name in deadline.done]
        asked += [(f"states.{n}.field", states.field, "code") for n, states in enumerate(self.states)]
        known = {f.name: f for f in self.fields if f.sensitivity != "identifying"}
        for key, name, kind in asked:
            if name not in known:
                raise Fault(key, f"'{name}' is no field of the item that is curated. Correct the name.")
            if kind and known[name].type != kind:
                raise Fault(key, f"'{name}' is of type '{known[name].type}'. Name a field of type '{kind}'.")
            if not kind and known[name].type not in ("code", "boolean"):
                raise Fault(key, f"'{name}' is of type '{known[name].type}'. Ask for codes, or for true or false.")

    def _agree_on_registry(self, of: Registry) -> None:
        """What names a person is identifying, and all else is curated, so that links can be told from the records."""
        known = {f.name: f for f in self.fields}
        asked = (
            ("number", of.number, "text", True), ("since", of.since, "date", False),
            ("certificate_type", of.certificate_type, "code", False), ("verified", of.verified, "boolean", False),
            ("former_name", of.former_name, "text", True),
        )  # fmt: skip
        for key, name, kind, is_identifying in asked:
            if name is None:
                continue
            where = f"registers.{key}"
            if name not in known or known[name].role != "attribute":
                raise Fault(where, f"'{name}' is no attribute of the item. Add the field or correct the name.")
            if known[name].type != kind:
                raise Fault(where, f"'{name}' is of type '{known[name].type}'. Name a field of type '{kind}'.")
            if (known[name].sensitivity == "identifying") != is_identifying:
                raise Fault(where, "numbers and names are identifying, days and codes are not. Mend sensitivity.")
        if self.refers is not None or self.document_field is not None:
            raise Fault("registers", "it goes before all events, so none can be about it. Let it have no document.")

    @property
    def goes_first(self) -> bool:
        """Whether the night takes it before the others: what it says decides what becomes of their records."""
        return self.refers is not None or self.registers is not None

    def field(self, name: str) -> FieldSpec:
        return next(f for f in self.fields if f.name == name)

    def by_role(self, role: str) -> FieldSpec:
        return next(f for f in self.fields if f.role == role)

    @property
    def live_fields(self) -> tuple[FieldSpec, ...]:
        """The fields a delivery may bring: all, or those in force where this is an item as of a day."""
        return tuple(f for f in self.fields if f.name not in self._dormant)

    @property
    def curated_fields(self) -> tuple[FieldSpec, ...]:
        """Fields that may leave the vault: everything not identifying, in declared order."""
        return tuple(f for f in self.fields if f.sensitivity != "identifying" and f.role != "action")

    @property
    def replacing_fields(self) -> tuple[FieldSpec, ...]:
        """Fields that tell the key under which a record was sent before by mistake."""
        return tuple(f for f in self.fields if f.replaces)

    @property
    def document_field(self) -> FieldSpec | None:
        """The field of the key by which events tell a record: `document`, else the first one that is written as a
        document number. Where there is none, no event can be about a record of the item."""
        numbers = [
            f for f in map(self.field, self.business_key)
            if f.name == self.document or (not self.document and any(r.kind == "document_number" for r in f.rules))
        ]  # fmt: skip
        return next(iter(numbers), None)

    @property
    def identifying_fields(self) -> tuple[FieldSpec, ...]:
        return tuple(f for f in self.fields if f.sensitivity == "identifying")


class Predecessor(Model):
    """A unit whose duties went over, and the last day it carried them."""

    name: str
    until: date


class Place(Model):
    """Where files of a department lie outside the home: `file:///folder`, `sftp://user@host:port/folder` or
    `s3://bucket/folder`; `endpoint` and `region` are those of an S3 service. `credentials` names what only the
    environment knows (see README.md); no secret stands in the catalogue."""

    url: str
    credentials: Name | None = None
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^/@]+/?$")
    region: str | None = None

    @model_validator(mode="after")
    def is_a_place(self) -> Place:
        try:
            url = urlsplit(self.url)
            port = url.port
        except ValueError:
            raise Fault("url", "it cannot be read. Write it like sftp://user@host:22/folder.") from None
        if url.password is not None or url.query or url.fragment:
            raise Fault("url", "it has more than a place. Leave secrets out of the catalogue and name 'credentials'.")
        if url.scheme not in ("file", "sftp", "s3"):
            raise Fault("url", f"no place of kind '{url.scheme}'. Use file://, sftp:// or s3://.")
        if any(part in (".", "..") for part in url.path.split("/")) or "//" in url.path:
            raise Fault("url", "its path goes through '.', '..' or '//'. Write it straight.")
        if url.scheme == "file" and (url.netloc or not url.path.strip("/")):
            raise Fault("url", "it names no folder of this machine. Write it like file:///srv/exchange/tax.")
        if url.scheme == "sftp" and not (url.username and url.hostname and url.path.startswith("/")):
            raise Fault("url", "user, host or folder is missing. Write it like sftp://user@host:22/folder.")
        if url.scheme == "sftp" and self.credentials is None:
            raise Fault("credentials", "SFTP needs a password or a key. Name the credentials that hold it.")
        if url.scheme == "s3" and (not url.hostname or url.username or port):
            raise Fault("url", "it names no bucket. Write it like s3://bucket/folder, and the service as 'endpoint'.")
        if url.scheme != "s3" and (self.endpoint or self.region):
            raise Fault("endpoint", "only an S3 service has endpoint and region. Remove them.")
        return self


class Inbox(Place):
    """Where a department's deliveries are fetched: one folder per item, named by its code. Once archived, an original
    moves to `.taken/` beside it, or is left where it lies."""

    after_archiving: Literal["move", "leave"] = "move"


class Format(Model):
    """How a department writes delimited text, where a look at the file cannot tell: `delimiter` between the cells,
    the `quote` around them ("none": a quotation mark is text like any other), the `encoding`."""

    delimiter: Literal[",", "\t", ";", "|", "\x01", "&&", "，"] | None = None
    quote: Literal['"', "“”", "none"] | None = None
    encoding: Literal["utf-8", "gb18030", "utf-16-le", "utf-16-be"] | None = None


class Duty(Dated):
    """What a department owes of an item where it is not what the item's cycle and the policy `due_working_days` say:
    another cycle, other days after the end of a period, or nothing; `source` is the agreement."""

    item: Name
    cycle: Cycle | None = None
    due_working_days: int | None = Field(default=None, ge=0)
    is_owed: bool = True
    source: str = Field(min_length=1)


class Department(Dated):
    """A unit that delivers. Counties are departments of kind `county`; `aliases` are its names in plans and files;
    `formats` is how it writes the texts of an item, or of all ("*"). `inbox` is fetched besides the home's; what lies
    in the home's outbox is sent to `outbox`, too."""

    code: Name
    name_zh: str
    name_en: str
    kind: Literal["province", "central", "court", "procuratorate", "county", "media", "association"]
    region_code: str
    valid_from: date
    aliases: tuple[str, ...] = ()
    predecessors: tuple[Predecessor, ...] = ()
    successor: Name | None = None
    contact: str
    inbox: Inbox | None = None
    outbox: Place | None = None
    formats: dict[str, Format] = {}
    duties: tuple[Duty, ...] = ()
    to_confirm: tuple[str, ...] = ()

    def format_of(self, item: str) -> Format:
        return self.formats.get(item) or self.formats.get("*") or Format()


class Tightening(Model):
    """What a county asks of a field beyond the item: it may be required, shorter, known by more headers, and meet more
    rules, or the same ones in earnest."""

    required: bool = False
    length: int | None = Field(default=None, gt=0)
    aliases: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def only_tighten(cls, data: Any) -> Any:
        for key in data:
            if key in FieldSpec.model_fields and key not in cls.model_fields:
                what = "a county may not change this of a field that the item has"
                raise Fault(key, f"{what}. Remove it, or give the county a field of its own.")
        if data.get("required") is False:
            raise Fault("required", "a county may not drop what the item asks for. Say true, or remove it.")
        return data


class ItemOverlay(Model):
    """What a county says of one item: `fields` of the item tightened, `added` ones of its own, narrower limits."""

    publicity: Publicity | None = None
    sharing: Sharing | None = None
    retention_years: int | None = Field(default=None, gt=0)
    rules: tuple[Rule, ...] = ()
    fields: dict[Name, Tightening] = {}
    added: tuple[FieldSpec, ...] = ()


class Overlay(Dated):
    """How one county adjusts the catalogue (琼府办〔2017〕101号 五（二）), after the county that it `extends`.

    `basis` is the local rule; `lines` tells where each key stands in the file, for messages and origins.
    """

    county: Name
    extends: Name | None = None
    basis: str = Field(min_length=1)
    to_confirm: tuple[str, ...] = ()
    items: dict[Name, ItemOverlay]
    lines: dict[str, int] = {}

    @property
    def file(self) -> str:
        return f"counties/{self.county}.toml"


class Code(Dated):
    """A code and what it means; `label_en` where pages in English show it."""

    code: str
    label: str
    label_en: str | None = None
    source: str


class Variant(Dated):
    """What departments write for a code: everybody (`*`), or one, whose word then goes before everybody's, since the
    same digit means one thing here and another there."""

    value: str
    code: str
    source: str
    department: str = "*"


class HeaderRow(Model):
    """A department's own header for a field, in one edition of the item or in all; `*` is everybody and every one."""

    department: str
    edition: str = "*"
    header: str
    field: Name


class LayoutRow(Model):
    """Where a field stands in a department's lines of fixed width, in one edition of the item or in all; `start` counts
    from 1, in bytes of the file's encoding or in characters."""

    department: Name
    edition: str = "*"
    unit: Literal["bytes", "characters"]
    start: int = Field(gt=0)
    length: int = Field(gt=0)
    field: Name
    source: str = Field(min_length=1)


def _separated(value: Any) -> Any:
    return tuple(w for w in (value or "").split("|") if w) if value is None or isinstance(value, str) else value


class Withheld(Dated):
    """A kind of information that the law keeps out, and the words that give it away (`|` between them in the file);
    `unless` are harmless phrases that hold such a word."""

    code: Name
    kind: Literal["never", "consent", "sealed", "score"] = Field(alias="class")
    zh: tuple[str, ...] = Field(min_length=1)
    en: tuple[str, ...] = Field(min_length=1)
    unless: tuple[str, ...] = ()
    valid_from: date
    basis: str = Field(min_length=1)

    @field_validator("zh", "en", "unless", mode="before")
    @classmethod
    def separate(cls, value: Any) -> Any:
        return _separated(value)


class Sealed(Dated):
    """What a row of `item` says in `field` when the law keeps the record sealed: one of `words`, and not within one of
    the phrases `unless` (`|` between them in the file); of a field of codes, one of these codes. `*` is every item, and
    every free text (schemas.sealed)."""

    code: Name
    item: str
    field: str
    words: tuple[str, ...] = Field(min_length=1)
    unless: tuple[str, ...] = ()
    valid_from: date
    basis: str = Field(min_length=1)
    to_confirm: str | None = None

    @field_validator("words", "unless", mode="before")
    @classmethod
    def separate(cls, value: Any) -> Any:
        return _separated(value)


class Allowed(Model):
    """A law lets `department` deliver `field` of `item` although it is withheld as `code`."""

    department: Name
    item: Name
    field: Name
    code: Name
    basis: str = Field(min_length=1)


class CalendarRow(Model):
    """Days, from the first to the last of one year, that are a holiday, or that are worked on although they belong to
    a weekend."""

    first: date
    last: date
    kind: Literal["holiday", "workday"]
    name: str = Field(min_length=1)
    source: str = Field(min_length=1)
    to_confirm: str | None = None


class CodeSet(Model):
    """`codes`, and what is written for them: `variants` by everybody at all times, `own` by one department or for a
    period."""

    name: Name
    codes: tuple[Code, ...]
    variants: dict[str, str] = {}
    own: tuple[Variant, ...] = ()


class FindingCode(Model):
    """One finding code: what it means, what to do. Messages may use {line}, {label} and {value}."""

    code: str = Field(pattern=r"^[FVIXDHLG]\d{3}$")
    severity: Literal["error", "hold", "warning", "info"]
    title_en: str
    message_zh: str
    message_en: str
    fix_zh: str
    fix_en: str
    example: str
    source: str

    def of(self, value: str) -> tuple[str, str]:
        """Both messages, Chinese and English, of a finding that is about no field and no line."""
        return self.message_zh.replace("{value}", value), self.message_en.replace("{value}", value)


class Catalog(Model):
    """`items` hold the fields that counties add, since all deliveries of an item share one table."""

    items: dict[str, Item]
    overlays: dict[str, Overlay] = {}
    departments: dict[str, Department]
    code_sets: dict[str, CodeSet]
    findings: dict[str, FindingCode]
    policy: dict[str, dict[str, Any]]
    headers: dict[str, tuple[HeaderRow, ...]] = {}
    layouts: dict[str, tuple[LayoutRow, ...]] = {}
    withheld: tuple[Withheld, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    sealed: tuple[Sealed, ...] = ()
    calendar: tuple[CalendarRow, ...] = ()
    revision: str

    def delivers(self, department: str) -> tuple[str, ...]:
        """Codes of the items that a department delivers: those that name it as a provider."""
        return tuple(item.code for item in self.items.values() if department in item.providers)

    @property
    def elsewhere(self) -> frozenset[str]:
        """Codes of the departments that have an inbox or an outbox besides that of the home."""
        return frozenset(d.code for d in self.departments.values() if d.inbox or d.outbox)
