//! The rules of tables in every format, and how rows are joined.

use std::fs;

use super::join::{JoinSide, join};
use super::*;
use crate::npz::NpzWriter;

fn parse(name: &str, text: &str) -> Result<Table> {
    Table::parse(Path::new(name), text.as_bytes())
}

fn csv(text: &str) -> Table {
    parse("x.csv", text).unwrap()
}

fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

fn numbers(table: &Table, column: usize) -> &[f64] {
    match &table.columns[column].cells {
        ColumnData::Numbers(numbers) => numbers,
        ColumnData::Words(words) => panic!("{words:?}"),
    }
}

fn words(table: &Table, column: usize) -> &[String] {
    match &table.columns[column].cells {
        ColumnData::Words(words) => words,
        ColumnData::Numbers(numbers) => panic!("{numbers:?}"),
    }
}

#[test]
fn separators_and_encodings_do_not_matter() {
    let expected = csv("file,size,what\na.png,1.5,x y\nb.png,-2,z\n");
    assert_eq!(names(&expected), ["file", "size", "what"]);
    assert_eq!(
        (numbers(&expected, 1), words(&expected, 2)),
        (&[1.5, -2.0][..], &["x y".to_owned(), "z".into()][..])
    );
    let text = "file;size;what\r\na.png;1.5;x y\r\nb.png;-2;z";
    let utf16 = |to: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(to).collect()
    };
    let texts: [Vec<u8>; 8] = [
        text.into(),
        text.replace(';', "\t").into(),
        text.replace(';', "|").into(),
        format!("\u{feff}{}", text.replace(';', " , ")).into(),
        utf16(u16::to_le_bytes, true),
        utf16(u16::to_be_bytes, true),
        utf16(u16::to_le_bytes, false),
        utf16(u16::to_be_bytes, false),
    ];
    for (i, bytes) in texts.iter().enumerate() {
        let table = Table::parse(Path::new("x.csv"), bytes).unwrap();
        assert_eq!(table.columns, expected.columns, "{i}");
    }
}

#[test]
fn tables_of_numpy_and_r() {
    let table = parse("x.txt", "# a b\n1.0e+00 2.0e+00\n 3.0e+00  4.0e+00\n").unwrap();
    assert_eq!((names(&table), numbers(&table, 1)), (vec!["a", "b"], &[2.0, 4.0][..]));
    // R leaves out the name of the first column.
    let table = csv("\"size\",\"angle\"\n\"a.png\",1,2\n\"b.png\",3,4\n");
    assert_eq!((table.file_column(), table.content()), (Some(0), vec![1, 2]));
    // CelebA's lists.
    let list = "2\nSmiling Young\n000001.jpg -1  1\n000002.jpg  1 -1\n";
    let table = parse("list_attr_celeba.txt", list).unwrap();
    assert_eq!((table.rows, table.file_column()), (2, Some(0)));
    assert_eq!((names(&table)[1], numbers(&table, 1)), ("Smiling", &[-1.0, 1.0][..]));
    let partition = parse("p.txt", "000001.jpg 0\n000002.jpg 2\n").unwrap();
    assert_eq!((partition.file_column(), numbers(&partition, 1)), (Some(0), &[0.0, 2.0][..]));
    // Decimal commas, where they are not the separator.
    let table = csv("a;b\n0,5;1\n1,25;2\n");
    assert_eq!(numbers(&table, 0), [0.5, 1.25]);
    assert_eq!(table.notes, ["column `a` is read with decimal commas"]);
    assert_eq!(csv("a,b\n1,2\n3,4\n\n,\n").rows, 2, "lines without content are none");
    assert_eq!(names(&csv("a,b,\n1,2,\n3,4,\n")), ["a", "b"], "a separator at the end");
}

#[test]
fn the_first_line_is_names_or_a_row() {
    // Numbers above fractions are names.
    let table = csv("0,1,2\n0.5,0.25,1.5\n0.25,1.5,2.5\n");
    assert_eq!((names(&table), table.rows), (vec!["0", "1", "2"], 2));
    // Above whole numbers they may be either: the number of rows decides.
    let mut table = csv("0,1\n5,6\n7,8\n");
    assert_eq!((table.rows, names(&table)), (2, vec!["0", "1"]));
    assert!(table.first_line().unwrap().contains("0, 1, is taken for names"));
    table.expect_rows(3);
    assert_eq!((table.rows, numbers(&table, 1)), (3, &[1.0, 6.0, 8.0][..]));
    assert_eq!(table.place(0), "line 1");
    table.expect_rows(2);
    assert_eq!((table.rows, table.place(0)), (2, "line 2".into()));
    let mut labels = csv("0\n1\n0\n");
    assert_eq!(labels.rows, 3);
    labels.expect_rows(2);
    assert_eq!((labels.rows, labels.columns[0].named), (2, true));
    // Neither rises from column to column.
    assert_eq!(csv("0,0,0\n1,0,0\n").rows, 2);
    assert_eq!(csv("a.png,square\nb.png,heart\n").rows, 2);
    assert_eq!(csv("file,what\nb,heart\n").rows, 1);
    assert_eq!(csv("shape,colour\nsquare,red\n").rows, 1);
}

#[test]
fn indices_and_names_are_no_content() {
    for header in ["", "Unnamed: 0", "index"] {
        let table = csv(&format!("{header},z0,z1\n0,0.5,1\n1,0.25,2\n"));
        assert_eq!((table.index_column(), table.content()), (Some(0), vec![1, 2]), "{header}");
    }
    let table = csv(",0,1\n3,5,6\n1,7,8\n");
    assert_eq!((table.indices(), table.content()), (Some(vec![3, 1]), vec![1, 2]));
    // A column without a name that numbers nothing is said to be left out.
    let table = csv(",a\n0,1\n0,2\n");
    assert_eq!((table.index_column(), table.content()), (None, vec![1]));
    assert_eq!(table.notes, ["column 0 has no name and is left out"]);
    for name in ["file", "Filename", "file_name", "IMAGE", "path", "id"] {
        let table = csv(&format!("size,{name}\n1,007\n2,008\n"));
        assert_eq!((table.file_column(), table.content()), (Some(1), vec![0]), "{name}");
        assert_eq!(words(&table, 1), ["007", "008"]);
    }
    // Persons that recur are a factor and no key.
    assert_eq!(csv("file,id\na,1\nb,1\n").content(), [1]);
    let table = csv("id,file\n1,a\n2,b\n");
    assert_eq!(table.file_column(), Some(1), "`file` says more than `id`");
}

#[test]
fn gaps_are_named_and_change_no_type() {
    for gap in ["", "NA", "NaN", "nan", "None", "NULL", "<NA>", "#N/A"] {
        let table = csv(&format!("file,size\na.png,10\nb.png,{gap}\nc.png,9\n"));
        let column = &table.columns[1];
        assert!(matches!(column.cells, ColumnData::Numbers(_)), "{gap}");
        let error = table.check_complete(column, "").unwrap_err().to_string();
        assert_eq!(error, "x.csv: line 3 (`b.png`), column `size` is empty or NA");
    }
    let table = csv("a,b\n1,x\n2,NA\n");
    assert_eq!(
        (words(&table, 1), &table.columns[1].gaps[..]),
        (&["x".to_owned(), String::new()][..], &[1][..])
    );
    let table = csv("a,b\n1,inf\n2,3\n");
    let error = table.check_complete(&table.columns[1], "").unwrap_err().to_string();
    assert_eq!(error, "x.csv: line 2, column `b` is inf, expected a finite number");
    let table = csv("a\n1\n2\nx\n");
    assert_eq!(words(&table, 0), ["1", "2", "x"]);
    assert!(
        table.notes[0].contains("1 of them among 2 numbers, such as `x` in line 4"),
        "{:?}",
        table.notes
    );
}

#[test]
fn json_lines_have_the_same_rules() {
    let text = "{\"file_name\": \"a.png\", \"z10\": 1, \"z2\": 0.5, \"on\": true}\n\n\
                {\"z2\": null, \"file_name\": \"b.png\", \"z10\": 2, \"on\": false}\n";
    let table = parse("x.jsonl", text).unwrap();
    assert_eq!(names(&table), ["file_name", "z10", "z2", "on"], "in the order of the file");
    assert_eq!((table.file_column(), numbers(&table, 3)), (Some(0), &[1.0, 0.0][..]));
    assert_eq!((&table.columns[2].gaps[..], table.place(1)), (&[1][..], "line 3".to_owned()));
    let records = parse("x.json", "[{\"a\": 1, \"b\": [2]}, {\"a\": \"x\"}]").unwrap();
    assert_eq!(
        (names(&records), words(&records, 0)),
        (vec!["a"], &["1".to_owned(), "x".into()][..])
    );
    assert_eq!(records.notes, ["`b` left out: lists and objects"]);
    let error = parse("x.jsonl", "{\"a\": 1}\n[1]\n").unwrap_err().to_string();
    assert!(error.starts_with("x.jsonl: not JSON lines: line 2: "), "{error}");
    for columns in
        ["{\"a\": {\"0\": 1, \"1\": 2}, \"b\": {\"0\": 3, \"1\": 4}}", "{\n\"a\": [1, 2]\n}\n"]
    {
        let error = parse("x.json", columns).unwrap_err();
        assert!(error.to_string().contains("expected an object for each row"), "{error}");
        assert!(error.hint().unwrap().contains("records"));
    }
}

#[test]
fn arrays_are_tables_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let mut npz = NpzWriter::create(&path).unwrap();
    npz.add("log_var", &[2, 2], &[5.0_f32, 6.0, 7.0, 8.0]).unwrap();
    npz.add("mean", &[2, 2, 1, 1], &[1.0_f32, 2.0, 3.0, 4.0]).unwrap();
    npz.add("indices", &[2], &[7_i64, 3]).unwrap();
    npz.add_text("files", &["a.png", "b.png"]).unwrap();
    npz.add_text("labels", &["cat", "dog"]).unwrap();
    npz.finish().unwrap();
    let codes = Table::read(&path, TableRole::Codes).unwrap();
    assert_eq!(names(&codes), ["file", "index", "mean_0", "mean_1", "log_var_0", "log_var_1"]);
    assert_eq!((numbers(&codes, 3), codes.indices()), (&[2.0, 4.0][..], Some(vec![7, 3])));
    assert_eq!((codes.file_column(), codes.content()), (Some(0), vec![2, 3, 4, 5]));
    let labels = Table::read(&path, TableRole::Factors).unwrap();
    assert_eq!(
        (names(&labels)[2], words(&labels, 2)),
        ("label", &["cat".to_owned(), "dog".into()][..])
    );
}

#[test]
fn rows_are_joined_by_name_then_by_index_then_by_order() {
    let joined = |left: &str, right: &str| {
        join(&JoinSide::of_table(&csv(left)), &JoinSide::of_table(&csv(right)))
            .map(|join| (join.pairs, join.notes))
    };
    let (pairs, notes) =
        joined("file,z\na,1\nb,2\nc,3\n", "x,path\n1,c.png\n2,/home/a.png\n3,d.png\n").unwrap();
    assert_eq!(pairs, [(0, 1), (2, 0)]);
    assert_eq!(
        notes,
        [
            "2 rows of x.csv are joined to x.csv by name",
            "1 of 3 rows of x.csv have no partner, such as `b`",
            "1 of 3 rows of x.csv have no partner, such as `d.png`"
        ]
    );
    assert_eq!(joined(",z\n5,1.5\n3,2\n", ",x\n3,1\n5,2\n").unwrap().0, [(0, 1), (1, 0)]);
    // An index of rows that the other table does not number.
    assert_eq!(joined("index,z\n2,1.5\n0,2\n", "x\nb\nc\nb\n").unwrap().0, [(0, 2), (1, 0)]);
    assert_eq!(joined("z\n0.5\n1.5\n", "x\nb\nc\n").unwrap().0, [(0, 0), (1, 1)]);
    assert!(joined("file,z\na,1\nb,2\n", "x\n1.5\n2.5\n").unwrap().1[0].contains("in their order"));
    for (left, right, expected) in [
        ("file,z\na,1\nb,2\n", "file,x\na,1\na.png,2\n", "line 2 and line 3 are both about `a`"),
        ("file,z\na,1\nb,2\n", "file,x\nc,1\nd,2\n", "none of its 2 names is one of x.csv"),
        ("file,z\nx/a,1\ny/a,2\n", "file,x\na,1\nb,2\n", "is about `a`, and several of x.csv are"),
        ("index,z\n1,1.5\n0,2\n", "x\nb\nc\n", "its index is not in order"),
        ("index,z\n5,1.5\n0,2\n", "x\nb\nc\n", "expected numbers below 2"),
        ("z\n0.5\n1.5\n", "x\nb\n", "found 2 and 1"),
    ] {
        let error = joined(left, right).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_no_table_is_explained() {
    let error = |bytes: &[u8]| Table::parse(Path::new("x.csv"), bytes).unwrap_err().to_string();
    assert_eq!(error(b""), "x.csv: not a table: it is empty");
    // A line of names without rows once ended in a panic.
    let alone = "x.csv: not a table: its only line is taken for names, file, s";
    assert_eq!(error(b"file,s"), alone);
    assert_eq!(error(b"a,b\n1\n"), "x.csv: not a table: line 2 has 1 cell, the first one 2");
    assert_eq!(
        error(b"a,b\n1,2\n1,2,3\n"),
        "x.csv: not a table: line 3 has 3 cells, the first one 2"
    );
    assert_eq!(error(b"a,b\n1,\xff\n"), "x.csv: line 2 is not UTF-8");
    assert_eq!(error(b"\xff\xfea"), "x.csv: it looks like UTF-16 and is damaged");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    fs::write(&path, b"PAR1 damaged").unwrap();
    assert!(Table::read(&path, TableRole::Codes).unwrap_err().to_string().contains("Parquet"));
}

#[test]
fn comments_are_no_names() {
    let expected = csv("image,p\n000.png,1\n001.png,2\n");
    let table = csv("# made by me\n# in 2024 with care\nimage,p\n000.png,1\n001.png,2\n");
    assert_eq!((&table.columns, table.place(0).as_str()), (&expected.columns, "line 4"));
    assert_eq!(table.notes, ["its first lines are comments"]);
    // `numpy.savetxt` puts a hash before the names.
    assert_eq!(names(&csv("# a,b\n0.5,1\n")), ["a", "b"]);
    assert_eq!(names(&parse("x.txt", "# a b\n0.5 1\n").unwrap()), ["a", "b"]);
    assert_eq!(names(&csv("#a\n0.5\n")), ["a"]);
}

#[test]
fn carriage_returns_end_lines() {
    assert_eq!(csv("a,b\r1,2\r3,4\r").columns, csv("a,b\n1,2\n3,4\n").columns);
}

#[test]
fn a_question_mark_is_a_gap() {
    let table = csv("a,b\n1,2\n?,4\n");
    assert_eq!((table.columns[0].gaps.as_slice(), numbers(&table, 0)[0]), (&[1][..], 1.0));
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let error = parse("x.csv", "file,p,p\na.png,1,2\n").unwrap_err().to_string();
    assert!(error.contains("columns 1 and 2 are both called `p`"), "{error}");
    assert_eq!(csv("p,,\n1,2,3\n").columns.len(), 3, "no name is no name twice");
}
