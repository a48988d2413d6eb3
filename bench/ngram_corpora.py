"""Write prose.jsonl and code.jsonl of what every Python carries: reference and docstrings, and sources without them."""

from __future__ import annotations

import ast
import json
import sys
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics

LEFT_OUT = ("test", "tests", "idlelib", "lib2to3", "site-packages", "pydoc_data", "encodings", "__pycache__")
SHORTEST = 200  # characters of a docstring that is prose


def main() -> None:
    folder = Path(sys.argv[1])
    prose, code = list(topics.values()), []
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        if set(file.relative_to(library).parts) & set(LEFT_OUT):
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node)
                if docstring is not None:
                    node.body = node.body[1:] or [ast.Pass()]
                    prose += [docstring] if len(docstring) >= SHORTEST else []
        code.append(ast.unparse(tree))
    for name, texts in (("prose", prose), ("code", code)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as written:
            written.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        print(f"{folder / name}.jsonl: {len(texts)} documents, {sum(map(len, texts)):,} characters")


if __name__ == "__main__":
    main()
