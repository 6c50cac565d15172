// How Sphinx ranks what its search finds. A heading that holds all that was asked for, such as the name of a mistake,
// comes before pages in which the words only occur; the other numbers are Sphinx's own. (Sphinx declares it by var, too.)
var Scorer = {
    score: ([, , anchor, , score]) => (anchor ? score + 20 : score),
    objNameMatch: 11,
    objPartialMatch: 6,
    objPrio: { 0: 15, 1: 5, 2: -5 },
    objPrioDefault: 0,
    title: 15,
    partialTitle: 7,
    term: 5,
    partialTerm: 2,
};
