/* The kinds of files that `show` knows. Not for other floors. */
#ifndef COP_REPORT_SHOW_PRIV_H
#define COP_REPORT_SHOW_PRIV_H

#include "report/sheet.h"
#include "store/h5.h"

/* What every file of coppice's says of itself: format, version, who wrote it, the experiment's hash. */
void cop_show_root(struct cop_h5 *f, struct cop_sheet *s);

int cop_show_dataset(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;
int cop_show_checkpoint(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;
int cop_show_mask(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;
int cop_show_cell(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;
int cop_show_results(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;
int cop_show_line(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;
int cop_show_tree(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;

#endif
