/*
 * results.csv: one row a finished cell, all fields of struct cop_row, a heading first. Quoted as RFC 4180 says, lines
 * end in LF, numbers have as many digits as they need to read back the same, no value is an empty field.
 */
#ifndef COP_REPORT_CSV_H
#define COP_REPORT_CSV_H

#include "store/cell.h"

/* The `n` rows. Atomic. COP_EFAILED. */
int cop_csv_write(const char *path, const struct cop_row *row, size_t n, struct cop_err *err) COP_CHECKED;

/* The same as text; the caller frees. */
char *cop_csv_text(const struct cop_row *row, size_t n);

#endif
