"""Q05 to Q08, Q12, Q13: line ends and control characters, delimiters, quotes, ragged rows, names of files, nothing."""

from tests.dirty_files import HEADER, csv, honour, number, put

two = csv(honour(1), honour(2))
put("Q05", "windows.csv", csv(honour(1), honour(2), end="\r\n"))
put("Q05", "old_mac.csv", csv(honour(1), honour(2), end="\r"))
put("Q05", "mixed.csv", csv(honour(1), end="\r\n") + csv(honour(2), honour(3), end="\r").partition("\r")[2])
put("Q05", "doubled_returns.csv", csv(honour(1), honour(2), end="\r\r\n"))
put("Q05", "end_of_file_mark.csv", two + "\x1a")
put("Q05", "end_of_file_mark_in_the_last_row.csv", two.rstrip("\n") + "\x1a")
padded = honour(1, 姓名="符喆之" + "\0" * 21), honour(2), honour(3, 证件号码=number(3) + "\0\0")
put("Q05", "zero_bytes.csv", csv(*padded))
put("Q05", "zero_behind_a_quote.csv", csv(honour(1), honour(2, 备注='"第一，\n第二"\0')))
put("Q05", "vertical_tab.csv", csv(honour(1, 备注="一、事迹\x0b二、依据"), honour(2, 荣誉名称="示例\x07荣誉")))
put("Q05", "program.csv", "姓名,证件号码\n".encode() + bytes(range(32)) * 9 + b"\xff\xfe")

for name, delimiter in (("semicolon", ";"), ("bar", "|"), ("tab", "\t"), ("control_a", "\x01"), ("ampersands", "&&")):
    put("Q06", f"{name}.txt", csv(honour(1, 备注="甲,乙"), honour(2), delimiter=delimiter))
quoted = {name: f'"{cell}"' for name, cell in honour(1, 备注="甲&&乙").items()}
put("Q06", "ampersands_quoted.txt", csv(quoted, honour(2), delimiter="&&"))
put("Q06", "wide_comma.txt", csv(honour(1), honour(2), delimiter="，"))
put("Q06", "wide_comma_in_the_header.csv", "，".join(HEADER) + "\n" + two.partition("\n")[2])
put("Q06", "wide_comma_in_a_row.csv", two + csv(honour(3)).split("\n")[1].replace(",身份证", "，身份证") + "\n")
curly = [{name: f"“{cell}”" for name, cell in honour(n, 备注="甲,“乙”").items()} for n in (1, 2)]
put("Q06", "curly_quotes.csv", csv(*curly))
put("Q06", "curly_quotes_as_text.csv", csv(honour(1, 荣誉名称="“最美家庭”"), honour(2)))
some = honour(1, 荣誉名称="“示例,荣誉”", 备注="“甲,乙”")
put("Q06", "curly_quotes_here_and_there.csv", csv(some, honour(2)))
put("Q06", "curly_quotes_declared.csv", csv(some, honour(2)))
plain = csv(honour(1, 荣誉名称='"示例"荣誉'), honour(2, 备注='12" 屏幕'), honour(3, 备注='"甲'), delimiter="|")
put("Q06", "no_quotes_declared.txt", plain)

body = [honour(n) for n in range(3, 13)]
put("Q07", "line_feeds.csv", csv(honour(1, 备注='"事迹：\n1. 甲\n\n2. 乙"'), honour(2)))
put("Q07", "doubled.csv", csv(honour(1, 荣誉名称='"称""示例""荣誉"'), honour(2, 荣誉名称='称"示例"荣誉')))
put("Q07", "never_closed.csv", csv(honour(1, 备注='"甲'), *body))
put("Q07", "not_doubled.csv", csv(honour(1, 备注='"称"示例"荣誉"'), *body))
closed = [{name: f'"{cell}"' for name, cell in row.items()} for row in (honour(1), honour(2), *body)]
closed[0]["备注"] = '"甲'
put("Q07", "one_lost_among_quoted.csv", csv(*closed))

ragged = csv(honour(1), honour(2), *body).splitlines()
put("Q08", "delimiter_behind_every_row.csv", "".join(f"{line}{',' * (n > 0)}\n" for n, line in enumerate(ragged)))
put("Q08", "delimiter_behind_the_header.csv", "".join(f"{line}{',' * (n == 0)}\n" for n, line in enumerate(ragged)))
put("Q08", "one_more.csv", "\n".join([ragged[0], ragged[1].replace("示例荣誉", "示例,荣誉"), *ragged[2:]]) + "\n")
put("Q08", "one_less.csv", "\n".join([*ragged[:-1], ragged[-1].rpartition(",")[0]]) + "\n")

put("Q12", "海口市荣誉(自然人)20250105-补报2最终版.csv", two)
put("Q12", "administrative_penalty_2019.TXT", two)
put("Q12", "荣誉.xlsx", two)

put("Q13", "empty.csv", "")
put("Q13", "empty_and_declared.csv", "")
put("Q13", "header_only.csv", csv())
put("Q13", "sentence_under_the_header.csv", csv() + "本期无数据" + "," * (len(HEADER) - 1) + "\n")
put("Q13", "sentence_alone_under_the_header.csv", csv() + "2026年10月无新增信息。\n\n")
put("Q13", "nothing_in_every_cell.csv", csv() + ",".join(["无"] * len(HEADER)) + "\n")
put("Q13", "sentence.txt", "本月无数据。\r\n".encode("gb18030"))
put("Q13", "sentence_among_rows.csv", csv(*body) + "本期无数据" + "," * (len(HEADER) - 1) + "\n")
put("Q13", "declared_but_not.csv", two)
