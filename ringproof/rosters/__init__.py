"""Rosters: files of phone numbers that are read row by row, and the files that are written about them.

`roster` opens a file, `text` decodes it, `csv_rows` splits it into rows, `columns` finds the column of the numbers, and
`row` checks each row. `rejects` and `output_file` write, and `sample` picks numbers for a forecast.
"""
