"""Rosters: files of phone numbers that are read row by row, and the files that are written about them.

`roster` opens a file, and `contents` splits it into cells: `text` decodes it, `csv_rows` splits it into rows, and
`header` and `columns` find the column of the numbers. `row` checks each row. `rejects` and `output_file` write, and
`sample` picks numbers for a forecast.
"""
