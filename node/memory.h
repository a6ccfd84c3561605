/* node/memory.h - Giving back what only starting needed. */
#ifndef NODE_MEMORY_H
#define NODE_MEMORY_H

/* Unmaps the code and constants of this program and its libraries; what is used comes back from the
 * page cache at the next touch, one short fault each. Binding symbols, running constructors and the
 * kernel's mapping of neighbouring pages leave most of them resident though a node at rest touches
 * few: of 20 MB resident, 17 are such. Data is not touched. Costs less than a millisecond. */
void memory_drop_start_pages(void);

#endif /* NODE_MEMORY_H */
