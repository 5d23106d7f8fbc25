/* What the two halves of the ledger share: the files' word and the queue's. */
#ifndef COP_SWEEP_LEDGER_PRIV_H
#define COP_SWEEP_LEDGER_PRIV_H

#include "sweep/ledger.h"

/* Sets the reason. */
void cop_entry_because(struct cop_entry *e, const char *fmt, ...) COP_PRINTF(2, 3);

/* It was begun, and whoever did so is gone. */
void cop_entry_lose(struct cop_entry *e);

/* Asks the queue, once, for all jobs of the run, and applies what it says. A queue that cannot be asked is no error. */
int cop_ledger_ask(struct cop_ledger *l, struct cop_err *err) COP_CHECKED;

#endif
