"""Arrays of pixels in, arrays of pixels out: illumination, compression, cropping, normalisation. Numpy only.

Images are (rows, cols, channels); crops are (cells, rows, cols, channels); centres are (row, col) in pixels.
"""
