// The page of several traces: next to each other, or their difference.
import { comparison } from "./compare.js";
import { build } from "./main.js";

build({ comparison });
