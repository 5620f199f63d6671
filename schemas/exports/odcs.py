"""An item's published table as a data contract: Open Data Contract Standard 3.1.0, YAML.

It speaks of `records.<item>` in the warehouse, so identifying fields are named and not described. A rule that keeps
rows out is a query that counts the rows against it and must find none; a rule that only warns is text, since its rows
are published. So is a rule that has dates, as records of other editions were not judged by it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import yaml
from sqlalchemy.dialects import postgresql

from schemas.dictionary import WORDS
from schemas.editions import named
from schemas.exports.odcs_rules import is_masked, of_field, of_item, of_subject, properties, stops
from schemas.model import Catalog, FieldSpec, Item
from schemas.record import NUMBER_MASK
from schemas.tables import warehouse

POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
READER = "qiongxin_reader"
LOGICAL = {
    sa.LargeBinary: "string",
    sa.Text: "string",
    sa.Date: "date",
    sa.DateTime: "timestamp",
    sa.BigInteger: "integer",
    sa.Integer: "integer",
    sa.Numeric: "number",
    sa.Boolean: "boolean",
}
# What the pipeline adds to the fields of the item: label, meaning, sensitivity.
OWN_COLUMNS = {
    "record_key": ("记录键", "Key of the record: which fact of which subject", "internal"),
    "subject_id": ("信用主体化名", "Pseudonym of the subject, for use inside the platform only", "personal"),
    "content_hash": ("内容摘要", "Keyed hash of the content; differs where anything of the record changed", "internal"),
    "department": ("报送单位", "Code of the department whose statement is current", "internal"),
    "delivery_id": ("批次号", "Delivery that the statement came in", "internal"),
    "line": ("行号", "Line of the delivered file", "internal"),
    "sheet": ("工作表", "Sheet of the delivered workbook", "internal"),
    "period": ("所属期", "Period that the delivery declares", "internal"),
    "sequence": ("序号", "Number of the delivery within its period", "internal"),
    "source_time": ("来源时间", "When the department changed the record", "internal"),
    "linked_subject_id": ("关联主体化名", "Pseudonym of another number of the same subject", "personal"),
    "marks": ("标注", "Effects in force that leave the record where it is, as codes of record_effect", "internal"),
    "public_from": ("公示起始日期", "First day of publicity; empty where the record is never public", "internal"),
    "public_until": ("公示截止日期", "Last day of publicity; empty until the breach is put right", "internal"),
    "kept_until": ("保存截止日期", "Last day on which the record may be shared; empty for no end yet", "internal"),
}
FREQUENCIES = {
    "daily": (1, "day"),
    "weekly": (7, "day"),
    "monthly": (1, "month"),
    "quarterly": (3, "month"),
    "half_yearly": (6, "month"),
    "yearly": (1, "year"),
}


class Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Texts that YAML 1.1 and 1.2 might take for something else, such as a code 0e1, stand in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Dumper, text: str) -> Any:
    style = '"' if text[:1] in tuple("0123456789.+-") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, _text)


def make(item: Item, catalog: Catalog) -> bytes:
    _, first = named(item)
    contract = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"urn:qiongxin:catalog:{item.code}",
        "name": item.name_zh,
        "version": f"{first.year}.{first.month}.{first.day}+{catalog.revision}",
        "status": "deprecated" if item.valid_to else "active",
        "tenant": "海南省",
        "dataProduct": "个人公共信用信息",
        "domain": item.domain,
        "tags": [item.nature, item.publicity],
        "description": _description(item, catalog),
        "servers": [
            {
                "server": "warehouse",
                "type": "postgres",
                "description": "仓库数据库；主机和端口以部署为准。Host and port depend on the installation.",
                "host": "localhost",
                "port": 5432,
                "database": "qiongxin",
                "schema": "records",
                "roles": [{"role": READER, "access": "read"}],
            }
        ],
        "schema": [_table(item, catalog)],
        "team": _team(item, catalog),
        "roles": [
            {
                "role": READER,
                "access": "read",
                "description": "只读；看不到 vault。Reads the records and never sees the vault.",
            }
        ],
        "slaProperties": _agreed(item),
        "customProperties": properties(_about(item, catalog)),
    }
    text = yaml.dump(contract, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=120)
    return f"# {item.code} · {item.name_en}\n{text}".encode()


def _description(item: Item, catalog: Catalog) -> dict[str, Any]:
    kept = "、".join(f.label_zh for f in item.identifying_fields)
    kept_en = ", ".join(f.name for f in item.identifying_fields)
    sharing, publicity = WORDS["sharing"][item.sharing], WORDS["publicity"][item.publicity]
    providers = "、".join(catalog.departments[p].name_zh for p in item.providers)
    return {
        "purpose": (
            f"{item.name_zh}（{item.name_en}），由{providers}提供，每晚核验后发布。依据：{'；'.join(item.legal_basis)}。"
            f" Provided by {', '.join(item.providers)}; checked and published every night."
        ),
        "usage": (
            f"共享属性：{sharing}（{item.sharing}）；公开属性：{publicity}（{item.publicity}）。"
            f" Read `records.{item.code}`; one release of all items is published at a time."
        ),
        "limitations": (
            f"可识别身份的信息项（{kept}）不在本表中；subject_id 是化名，不得离开平台；"
            f"文本中的证件号码已替换为{NUMBER_MASK}。"
            f" Identifying fields ({kept_en}) are not in the table, subject_id must not leave the platform, identity"
            " numbers in texts are masked."
        ),
    }


def _table(item: Item, catalog: Catalog) -> dict[str, Any]:
    table = warehouse([item]).tables[f"records.{item.code}"]
    key = "、".join(item.field(k).label_zh for k in item.business_key)
    return {
        "name": item.code,
        "physicalName": item.code,
        "physicalType": "table",
        "logicalType": "object",
        "businessName": item.name_zh,
        "description": item.name_en,
        "dataGranularityDescription": (
            f"一名信用主体的一项事实一行，事实由{key}区分。"
            f" One row per subject and {', '.join(item.business_key)}: its current record."
        ),
        "properties": [_column(column, item, catalog) for column in table.columns],
        "quality": [*of_item(item, catalog), *of_subject(item, catalog)],
    }


def _column(column: sa.Column[Any], item: Item, catalog: Catalog) -> dict[str, Any]:
    kind = next(logical for made, logical in LOGICAL.items() if isinstance(column.type, made))
    name = str(column.name)
    found: dict[str, Any] = {
        "name": name,
        "logicalType": kind,
        "physicalType": column.type.compile(dialect=POSTGRESQL),
        "required": not column.nullable,
    }
    if column.primary_key:
        found |= {"primaryKey": True, "primaryKeyPosition": 1, "unique": True}
    if name in OWN_COLUMNS:
        zh, en, classification = OWN_COLUMNS[name]
        return found | {"businessName": zh, "description": en, "classification": classification}
    field = item.field(name)
    found |= {
        "businessName": field.label_zh,
        "description": field.label_en + (f", {field.unit}" if field.unit else ""),
        "required": field.is_always_required,
        "classification": field.sensitivity,
    }
    if name in item.business_key:
        found["criticalDataElement"] = True
    if options := _options(field):
        found["logicalTypeOptions"] = options
    if field.code_set is not None:
        codes = catalog.code_sets[field.code_set].codes
        found["customProperties"] = properties(
            {"codeSet": field.code_set, "codes": [{"code": c.code, "label": c.label} for c in codes]}
        )
    if quality := list(of_field(field, item, catalog)):
        found["quality"] = quality
    return found


def _options(field: FieldSpec) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if field.type == "text" and field.length is not None and not field.is_free_text:  # masks may lengthen free text
        options["maxLength"] = field.length
    for rule in field.rules:
        if not stops(rule):
            continue
        if rule.kind == "between":
            bounds = {"minimum": rule.options.get("low"), "maximum": rule.options.get("high")}
            options |= {k: v for k, v in bounds.items() if v is not None}
        if rule.kind == "matches" and not is_masked(field):
            options["pattern"] = f"^(?:{rule.options['pattern']})$"
    return options


def _team(item: Item, catalog: Catalog) -> dict[str, Any]:
    members = []
    for precedence, code in enumerate(item.providers, start=1):
        unit = catalog.departments[code]
        member: dict[str, Any] = {
            "username": code,
            "name": unit.name_zh,
            "description": f"{unit.name_en}. 联系 contact: {unit.contact}",
            "role": "数据提供单位 provider",
            "dateIn": max(unit.valid_from, item.valid_from).isoformat(),
        }
        if unit.valid_to:
            member["dateOut"] = unit.valid_to.isoformat()
        if unit.successor:
            member["replacedByUsername"] = unit.successor
        members.append({**member, "customProperties": properties({"precedence": precedence})})
    return {"name": "数据提供单位", "description": "Providers, greatest precedence first.", "members": members}


def _agreed(item: Item) -> list[dict[str, Any]]:
    cycle = WORDS["update_cycle"][item.update_cycle]
    value, unit = FREQUENCIES.get(item.update_cycle, (item.update_cycle, None))
    frequency = {"property": "frequency", "value": value, **({"unit": unit} if unit else {})}
    agreed: list[dict[str, Any]] = [
        {**frequency, "driver": "regulatory", "description": f"更新周期：{cycle}。Update cycle: {item.update_cycle}."},
        {
            "property": "retention",
            "value": item.retention_years,
            "unit": "year",
            **({"element": f"{item.code}.{item.event_date}"} if item.event_date else {}),
            "driver": "regulatory",
            "description": f"保存期限；{item.retention_source}",
        },
        {"property": "generalAvailability", "value": item.valid_from.isoformat()},
    ]
    if item.valid_to:
        agreed.append({"property": "endOfLife", "value": item.valid_to.isoformat()})
    return agreed


def _about(item: Item, catalog: Catalog) -> dict[str, Any]:
    def labelled(code_set: str, codes: tuple[str, ...]) -> list[str]:
        labels = {c.code: c.label for c in catalog.code_sets[code_set].codes}
        return [f"{code} {labels[code]}" for code in codes]

    about: dict[str, Any] = {
        "legalBasis": list(item.legal_basis),
        "nature": item.nature,
        "natureName": WORDS["nature"][item.nature],
        "sharing": item.sharing,
        "publicity": item.publicity,
        "domainName": labelled("domain", (item.domain,))[0].split(" ", 1)[1],
        "category": labelled("catalogue_category", (item.category,))[0],
        "groups": labelled("professional_group", item.groups),
        "realNameDomains": labelled("real_name_domain", item.real_name_domains),
        "supervisionTargets": labelled("supervision_target", item.supervision_targets),
        "subjectTypes": list(item.subject_types),
        "businessKey": list(item.business_key),
        "eventDate": item.event_date,
        "actDates": list(item.acted_on),
        "sourceTime": item.source_time,
        "historyTable": f"history.{item.code}" if item.history_in_warehouse else None,
        "identifyingFields": [f.name for f in item.identifying_fields],
        "edition": named(item)[0],
        "revision": catalog.revision,
        "toConfirm": list(item.to_confirm),
    }
    return {name: value for name, value in about.items() if value}
