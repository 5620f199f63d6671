"""Q01: encodings."""

import codecs

from tests.dirty_files import csv, honour, put

text = csv(honour(1), honour(2, 备注="䶮"), honour(3))
put("Q01", "utf8.csv", text)
put("Q01", "bom.csv", codecs.BOM_UTF8 + text.encode())
put("Q01", "gb18030.csv", text.encode("gb18030"))
put("Q01", "utf16.csv", codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
put("Q01", "neither.csv", text.encode() + b"\xff\xff,\xc3\x28\n")
