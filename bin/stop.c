/* Stopping on signals; see stop.h. */
#include "stop.h"

#include "base/file.h"
#include "sched/sched.h"

#include <unistd.h>

volatile sig_atomic_t cop_stop_asked;

/* A terminal's Ctrl-C and the parent's TERM may come together: only a second Ctrl-C is impatience. */
static void asked(int sig)
{
	static volatile sig_atomic_t interrupts;
	if (sig == SIGINT && ++interrupts > 1) {
		cop_temporaries_remove();
		_exit(128 + SIGINT);
	}
	cop_stop_asked = 1;
	cop_local_stop();
}

void cop_stop_on_signals(void)
{
	struct sigaction a = {.sa_handler = asked, .sa_flags = SA_RESTART};
	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGUSR1, &a, NULL);
}
