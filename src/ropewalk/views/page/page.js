// The page of saved traces: nothing to ask.
import { build } from "./main.js";

build();
