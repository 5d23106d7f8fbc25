/*
 * What the library has to say while it works. It goes to a sink that the program sets; without one it goes nowhere.
 * Progress is reported as a fraction of named work; the program decides whether and how often to show it.
 */
#ifndef COP_BASE_LOG_H
#define COP_BASE_LOG_H

#include "base/err.h"

enum cop_log_level { COP_LOG_WARNING, COP_LOG_INFO, COP_LOG_DEBUG };

struct cop_log_sink {
	void (*line)(enum cop_log_level level, const char *text, void *user); /* text: one line without its end */
	void (*progress)(const char *what, double done, double total, const char *note,
			 void *user); /* done == total: over */
	void *user;
};

void cop_log_set_sink(const struct cop_log_sink *sink); /* kept, not copied; NULL: silence */

void cop_warn(const char *fmt, ...) COP_PRINTF(1, 2);
void cop_info(const char *fmt, ...) COP_PRINTF(1, 2);
void cop_debug(const char *fmt, ...) COP_PRINTF(1, 2);
void cop_progress(const char *what, double done, double total, const char *fmt, ...) COP_PRINTF(4, 5);

double cop_now(void);   /* seconds on a clock that never goes back */
double cop_clock(void); /* seconds since 1970 */

#endif
