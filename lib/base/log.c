/* Log and progress; see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const struct cop_log_sink *sink;

void cop_log_set_sink(const struct cop_log_sink *s)
{
	sink = s;
}

static void say(enum cop_log_level level, const char *fmt, va_list ap)
{
	if (!sink || !sink->line)
		return;
	char text[1200];
	vsnprintf(text, sizeof(text), fmt, ap);
	sink->line(level, text, sink->user);
}

#define COP_LOG_BODY(level)          \
	do {                         \
		va_list ap;          \
		va_start(ap, fmt);   \
		say(level, fmt, ap); \
		va_end(ap);          \
	} while (0)

void cop_warn(const char *fmt, ...)
{
	COP_LOG_BODY(COP_LOG_WARNING);
}

void cop_info(const char *fmt, ...)
{
	COP_LOG_BODY(COP_LOG_INFO);
}

void cop_debug(const char *fmt, ...)
{
	COP_LOG_BODY(COP_LOG_DEBUG);
}

void cop_progress(const char *what, double done, double total, const char *fmt, ...)
{
	if (!sink || !sink->progress)
		return;
	char note[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(note, sizeof(note), fmt, ap);
	va_end(ap);
	sink->progress(what, done, total, note, sink->user);
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double cop_now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

double cop_clock(void)
{
	return seconds_of(CLOCK_REALTIME);
}
