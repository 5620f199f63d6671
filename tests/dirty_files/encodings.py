"""Q01 to Q04: encodings, characters lost, rare ones, and those cut in half."""

import codecs

from tests.dirty_files import csv, honour, put

text = csv(honour(1), honour(2, 备注="䶮"), honour(3))
put("Q01", "utf8.csv", text)
put("Q01", "bom.csv", codecs.BOM_UTF8 + text.encode())
put("Q01", "gb18030.csv", text.encode("gb18030"))
put("Q01", "utf16.csv", codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
put("Q01", "utf16be.csv", codecs.BOM_UTF16_BE + text.encode("utf-16-be"))
put("Q01", "utf16_no_mark.csv", csv(honour(1), honour(2, 姓名="符一"), end="\r\n").encode("utf-16-le"))
put("Q01", "four_bytes.csv", csv(honour(1, 姓名="符𠮷之")).encode("gb18030"))
put("Q01", "neither.csv", text.encode() + b"\xff\xff,\xc3\x28\n")
put("Q01", "mark_then_broken.csv", codecs.BOM_UTF8 + csv().encode() + csv(honour(1)).encode("gb18030"))

good, spoilt = (honour(4), honour(5)), {
    "lost": honour(11, 姓名="张\ufffd三"),
    "lost_twice": honour(12, 认定文号="琼验字锟斤拷2025锟斤拷12号"),
    "as_gbk": honour(13, 姓名="寮犱笁"),
    "as_latin": honour(14, 姓名="å¼\u00a0ä¸‰"),
    "remarks": honour(15, 备注='"鍏堣繘浜嬭抗锛屼簣浠ュ璁�"'),
}
put("Q02", "some_rows.csv", csv(*good, *spoilt.values(), *map(honour, range(20, 40))))
put("Q02", "whole_file_as_gbk.csv", csv(honour(1), honour(2)).encode().decode("gb18030", "replace"))
put("Q02", "whole_file_as_latin.csv", csv(honour(1)).encode().decode("latin-1"))

names = ["符\ue863之", "符\ue1a5之", "符▀之", "符䶮之"]
put("Q03", "names.csv", csv(*(honour(n, 姓名=name) for n, name in enumerate(names, start=1))))
# The code FE59 is 龴 since 2022; the codec knows it as U+E81E. U+E863, the old place of 䶮, has four bytes.
put("Q03", "gb18030.csv", csv(honour(1, 姓名="符\ue81e之"), honour(2, 姓名="符\ue863之"), honour(3)).encode("gb18030"))

cut = csv(honour(1, 备注="地址：海口市龙~"), honour(2, 姓名="符文~"), honour(3, 备注="海口市龙华区"), honour(4))
put("Q04", "gb18030.csv", cut.encode("gb18030").replace(b"~", b"\xbb"))
put("Q04", "utf8.csv", cut.encode().replace(b"~", "华".encode()[:2]))
put("Q04", "replaced.csv", cut.replace("~", "\ufffd"))
put("Q04", "in_the_middle.csv", cut.encode("gb18030").replace(b"~", b"\xbb ").replace("龙".encode("gb18030"), b"\xff"))
