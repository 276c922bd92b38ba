// The page of a film: frames of one text, with a player.
import { build } from "./main.js";
import { makePlayer } from "./player.js";

build({ player: makePlayer() });
