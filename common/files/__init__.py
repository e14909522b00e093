"""Files that are whole or not there, files that are checked when they are read, and paths.

`paths` reads what somebody typed, `outputs` looks whether it may be written, `reading` reads what
may come from a stranger, and `writing` writes every file of this project: under another name,
renamed when it is complete.
"""

from common.files.outputs import (
    OUTPUTS,
    output_file,
    output_folder,
    output_path,
    output_text,
    require_not_among,
    require_output,
    require_outputs,
)
from common.files.paths import expanded, path_argument
from common.files.reading import (
    MAX_CSV,
    MAX_JSON,
    csv_lines,
    parsed_object,
    read_columns,
    read_json,
    read_table,
    read_text,
    separated,
)
from common.files.writing import (
    as_bytes,
    atomic_path,
    csv_text,
    disk_is_full,
    file_hash,
    plain,
    replace_block,
    sheet_text,
    write_csv,
    write_json,
    write_sheet,
    write_text,
)

__all__ = [
    "MAX_CSV",
    "MAX_JSON",
    "OUTPUTS",
    "as_bytes",
    "atomic_path",
    "csv_lines",
    "csv_text",
    "disk_is_full",
    "expanded",
    "file_hash",
    "output_file",
    "output_folder",
    "output_path",
    "output_text",
    "parsed_object",
    "path_argument",
    "plain",
    "read_columns",
    "read_json",
    "read_table",
    "read_text",
    "replace_block",
    "require_not_among",
    "require_output",
    "require_outputs",
    "separated",
    "sheet_text",
    "write_csv",
    "write_json",
    "write_sheet",
    "write_text",
]
