/* SIGINT, SIGTERM and SIGUSR1 ask work to save and end: a flag that the library looks at every step. */
#ifndef COP_BIN_STOP_H
#define COP_BIN_STOP_H

#include <signal.h>

extern volatile sig_atomic_t cop_stop_asked;

/* Sets the flag on those signals; the local scheduler is told as well. A second SIGINT ends the program at once. */
void cop_stop_on_signals(void);

#endif
