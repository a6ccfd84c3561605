/* node/journal.h - Whether systemd's journal reads what the program writes: systemd.exec(5),
 * JOURNAL_STREAM. It then knows time and process of every line by itself. */
#ifndef NODE_JOURNAL_H
#define NODE_JOURNAL_H

#include <stdbool.h>

/* False also when the variable was inherited, but `fd` leads elsewhere since. */
bool journal_reads(int fd);

#endif /* NODE_JOURNAL_H */
